"""maskcls: trains, evaluates and uses classifiers of face images, with a mask against without one."""

__version__ = "0.1.0"
