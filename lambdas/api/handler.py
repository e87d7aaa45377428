"""The API function."""

from lambdas.api.app import build_app
from offpeak.aws.connect import Aws

handler = build_app(Aws.from_environment())
