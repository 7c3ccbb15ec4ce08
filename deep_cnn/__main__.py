"""python -m deep_cnn"""

import sys

from deep_cnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
