"""Predict on images, folders, videos and cameras. See ``python demo/demo.py --help``."""

from projects_ext.prediction.main import main

if __name__ == "__main__":
    main()
