"""maskcls: trains, evaluates and uses classifiers of face images, with a mask against without one."""

import os

__version__ = "0.1.0"

# OpenCV, which reads this once it is imported, refuses larger images before it decodes them
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(100_000_000))
