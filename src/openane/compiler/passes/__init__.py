"""Graph passes: each makes a graph simpler without changing what it computes, and keeps where everything came from."""
