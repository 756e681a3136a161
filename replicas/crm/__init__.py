"""The CRM replica: a replica of the store beside a CRM, kept in step with it in both directions."""
