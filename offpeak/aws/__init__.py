"""Every port on AWS, by boto3. Only composition roots import from here."""
