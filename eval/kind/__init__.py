"""What a kind of evaluation is, and what it shows itself by: tables, charts, pictures, a clause."""
