"""``python -m helpers.sandbox``"""

import sys

from helpers.sandbox import main

sys.exit(main())
