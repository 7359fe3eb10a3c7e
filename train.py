"""``python train.py train --config-file X`` is ``emotions train --config-file X``."""

from emotions.cli import main

if __name__ == "__main__":
    main()
