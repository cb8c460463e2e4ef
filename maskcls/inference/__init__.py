"""Using a trained model on new pictures."""
