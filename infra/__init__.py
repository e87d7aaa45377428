"""The CDK app: a construct per logical unit, and stacks that only compose them and grant."""
