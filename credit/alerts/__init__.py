"""What people are to be told without asking: raised once, cleared by itself, sent on the channels that were chosen."""
