"""The tiny trained model of the export's tests, in every form."""

from tests.export.conftest import corpus, full, one_thread, trained_run

__all__ = ["corpus", "full", "one_thread", "trained_run"]
