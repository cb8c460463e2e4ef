"""What people look at: plots and the leaderboard of a sweep."""
