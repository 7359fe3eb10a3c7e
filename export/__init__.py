"""From a trained model to a bundle that is proven to answer as the model does."""
