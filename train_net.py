"""Train, resume or evaluate what a config file describes. See ``python train_net.py --help``."""

from projects_ext.engine.main import main

if __name__ == "__main__":
    main()
