"""Where bundles are kept beside folders: object stores, the Hugging Face Hub, MLflow."""
