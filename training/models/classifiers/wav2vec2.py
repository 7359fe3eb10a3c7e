"""Models on an encoder, with a fully connected head (``Wav2Vec2FnClassifier``) or an image network (``...Cnn...``)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.config.architectures import EncoderArchitecture, Wav2Vec2CnnArchitecture, Wav2Vec2FnArchitecture
from training.config.train import ModelSpec
from training.models.base import Classifier, Head, Logits
from training.models.classifiers.cnn import CnnHead
from training.models.frontends.encoder_base import EncoderFrontend
from training.models.frontends.encoder_frontend import build_frontend
from training.models.frontends.frame_pooling import FramePooling, Pooling
from training.models.frontends.hidden_states import Embedding


class LayerWeights(nn.Module):
    """A learnt mean over layers, equal weights at first (as in SUPERB)."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, layers, dims, frames) in; (batch, dims, frames) out."""
        return (features * self.scores.softmax(dim=0)[:, None, None]).sum(dim=1)


class WeightedHead(Head):
    """A head on the learnt mean of every layer's features."""

    def __init__(self, layers: int, head: Head) -> None:
        super().__init__()
        self.mean = LayerWeights(layers)
        self.head = head

    def forward(self, features: Tensor, frames: Tensor) -> Logits:
        """(batch, layers, dims, frames) and (batch,) valid frames in; target -> (batch, classes) logits out."""
        logits: Logits = self.head(self.mean(features), frames)
        return logits


def _weighed(shape: tuple[int, ...], head: Head) -> Head:
    """The head itself, or for features (layers, dims, frames) of all layers the head on their learnt mean."""
    return WeightedHead(shape[0], head) if len(shape) == 3 else head


class FnHead(Head):
    """A fully connected network on four views of an embedding of D dims by T frames.

    - statistics over the valid frames, by default the mean: P values, D or 2 D;
    - the mean over the dims: T values, zero past the valid frames;
    - ``conv_w_count`` (w) 1x1 convolutions with the frames as channels, each a learnt combination of the T frames:
      w x D values;
    - ``conv_h_count`` (h) 1x1 convolutions with the dims as channels, each a learnt combination of the D dims:
      h x T values, zero past the valid frames.

    Concatenated these are P + T + w D + h T values; where both counts are 0 the first two remain. Two fully connected
    layers with batch norm and ReLU follow, then one linear layer per target.

    Args:
        shape: (D, T) of a window's features.
        counts: (h, w): ``conv_h_count`` and ``conv_w_count``.
        layers: ``layer_1_size`` and ``layer_2_size``.
        targets: target -> number of classes.
        pooling: which statistics.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        counts: tuple[int, int],
        layers: tuple[int, int],
        targets: Mapping[str, int],
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        (dims, frames), (over_dims, over_time) = shape, counts
        self.over_dims = nn.Conv1d(dims, over_dims, 1) if over_dims else None
        self.over_time = nn.Conv1d(frames, over_time, 1) if over_time else None
        self.pooling = FramePooling(pooling, dims)
        width = self.pooling.dims + frames + over_time * dims + over_dims * frames
        self.layers = nn.Sequential(*_connected(width, layers[0]), *_connected(layers[0], layers[1]))
        self.outputs = nn.ModuleList([nn.Linear(layers[1], classes) for classes in targets.values()])
        self.targets = tuple(targets)

    def forward(self, features: Tensor, frames: Tensor) -> Logits:
        """(batch, D, T), zero past the (batch,) valid frames; target -> (batch, classes) logits out."""
        views = [self.pooling(features, frames), features.mean(dim=1)]
        if self.over_time is not None:
            views.append(self.over_time(features.transpose(1, 2)).flatten(1))
        if self.over_dims is not None:
            valid = torch.arange(features.shape[2], device=frames.device) < frames.unsqueeze(1)
            views.append(torch.where(valid.unsqueeze(1), self.over_dims(features), 0.0).flatten(1))
        hidden = self.layers(torch.cat(views, dim=1))
        return {target: output(hidden) for target, output in zip(self.targets, self.outputs, strict=True)}

    def conv_parameters(self) -> list[nn.Parameter]:
        """Parameters of the convolutions, which ``learn_params.lr.conv_lr`` is for; none where both counts are 0."""
        kept = [convolution for convolution in (self.over_dims, self.over_time) if convolution is not None]
        return [parameter for convolution in kept for parameter in convolution.parameters()]


def _frontend(spec: ModelSpec, architecture: EncoderArchitecture, embedding: Embedding) -> EncoderFrontend:
    return build_frontend(
        spec,
        architecture.encoder,
        embedding,
        freeze=architecture.freeze,
        trainable_layers=architecture.trainable_layers,
    )


def build_fn(spec: ModelSpec, architecture: Wav2Vec2FnArchitecture) -> Classifier:
    """Build a ``Wav2Vec2FnClassifier``."""
    frontend = _frontend(spec, architecture, architecture.embedding)
    *_, dims, frames = frontend.shape
    counts = (architecture.conv_h_count, architecture.conv_w_count)
    layers = (architecture.layer_1_size, architecture.layer_2_size)
    head = FnHead((dims, frames), counts, layers, spec.classes, architecture.pooling)
    return Classifier(frontend, _weighed(frontend.shape, head))


def build_wav2vec2_cnn(spec: ModelSpec, architecture: Wav2Vec2CnnArchitecture) -> Classifier:
    """Build a ``Wav2Vec2CnnClassifier``: an embedding as a one-channel image of dims by frames."""
    frontend = _frontend(spec, architecture, architecture.embedding)
    *_, dims, frames = frontend.shape
    head = CnnHead(architecture.backbone, (dims, frames), spec.classes, architecture.dropout)
    return Classifier(frontend, _weighed(frontend.shape, head))


def _connected(width: int, size: int) -> list[nn.Module]:
    # The norm's shift makes the linear layer's bias redundant.
    return [nn.Linear(width, size, bias=False), nn.BatchNorm1d(size), nn.ReLU()]
