"""Pictures, videos, cameras and streams: read as frames, and written with what was found on them."""
