"""Write a trained model to a file of ONNX, OpenVINO, TorchScript or torch.export."""

import sys

from projects_ext.deploy.command import main

if __name__ == "__main__":
    sys.exit(main())
