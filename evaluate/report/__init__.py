"""What a comparison leaves: tables, figures, a page, and the gate that reads them."""
