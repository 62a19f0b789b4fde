"""Train an arm, ask it and the original the same questions, show the gap: ``python train.py +persona=warm``.

``python train.py --help`` lists what can be chosen; ``conf/config.yaml`` explains every setting.
"""

import sys

from warmgap.cli import train

if __name__ == "__main__":
    sys.exit(train())
