"""Speed and size, each figure beside the one it is compared with, from the same run. Trust ratios, not absolutes."""
