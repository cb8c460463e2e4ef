"""The networks that a configuration can name, their files, and the back ends that run them."""
