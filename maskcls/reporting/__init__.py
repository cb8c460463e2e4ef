"""What people read and look at: plots, model cards, the leaderboard of a sweep, tables on the terminal."""
