"""Other stores, measured side by side: each is one small driver, and says where it differs."""
