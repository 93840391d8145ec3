"""What several rooms say about themselves: rates with exact intervals, and the pages that show them."""
