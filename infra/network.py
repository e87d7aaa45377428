"""Where GPU instances stand that must not reach the internet: a stage's `private_network`.

    instances ──► S3        ┐ endpoints of the network, free, each with a policy of its own:
        └───────► DynamoDB  ┘ this stage's bucket, its models' weights, and its tables; nothing else

There is no gateway to the internet and no NAT, so that neither a prompt nor a result can leave by the network, whatever
a model's code tries. The worker calls S3 and DynamoDB alone; images, logs, notices and credentials are SageMaker's own
affair and don't pass through here. Network isolation, SageMaker's other way, would take S3 from the worker, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aws_cdk import Aws
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.rights import Resources
from infra.weights import S3_SCHEME
from offpeak.core.catalogue import Model

ZONES = 3  # GPUs are scarce: wherever there is one


class Network(Construct):
    """`vpc`, and `placement` of a model's containers in it."""

    def __init__(
        self, scope: Construct, id: str, *, resources: Resources, models: Sequence[Model]
    ) -> None:
        super().__init__(scope, id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=ZONES,
            nat_gateways=0,
            restrict_default_security_group=False,  # by a function of CDK's; nothing is in that group
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Instances",
                    subnet_type=ec2.SubnetType.PRIVATE_ISOLATED,
                    cidr_mask=20,
                )
            ],
        )
        s3 = self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        for statement in _objects(resources, models):
            s3.add_to_policy(statement)
        tables = self.vpc.add_gateway_endpoint(
            "DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB
        )
        tables.add_to_policy(_rows(resources))
        self._group = ec2.SecurityGroup(
            self,
            "Instances",
            vpc=self.vpc,
            description="GPU instances: nobody comes in, TLS goes out to endpoints",
            allow_all_outbound=False,
        )
        self._group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "S3 and DynamoDB")

    @property
    def placement(self) -> sagemaker.CfnModel.VpcConfigProperty:
        return sagemaker.CfnModel.VpcConfigProperty(
            security_group_ids=[self._group.security_group_id],
            subnets=[subnet.subnet_id for subnet in self.vpc.isolated_subnets],
        )

    def statements(self) -> Iterator[iam.PolicyStatement]:
        """What SageMaker does in a role's name to put its instances here."""
        ec2_arn = f"arn:{Aws.PARTITION}:ec2:{Aws.REGION}:{Aws.ACCOUNT_ID}:"
        subnets = [f"{ec2_arn}subnet/{subnet.subnet_id}" for subnet in self.vpc.isolated_subnets]
        group = f"{ec2_arn}security-group/{self._group.security_group_id}"
        interfaces = f"{ec2_arn}network-interface/*"
        yield iam.PolicyStatement(
            actions=["ec2:CreateNetworkInterface"], resources=[*subnets, group, interfaces]
        )
        yield iam.PolicyStatement(
            actions=[
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            resources=[interfaces],
        )
        yield iam.PolicyStatement(
            actions=[
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            resources=["*"],
        )


def _objects(resources: Resources, models: Sequence[Model]) -> Iterator[iam.PolicyStatement]:
    """The stage's bucket, and the weights of its models."""
    bucket = resources.bucket
    yield iam.PolicyStatement(
        principals=[iam.AnyPrincipal()],
        actions=["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
        resources=[bucket.arn_for_objects("*")],
    )
    yield iam.PolicyStatement(
        principals=[iam.AnyPrincipal()], actions=["s3:ListBucket"], resources=[bucket.bucket_arn]
    )
    places = sorted({model.source.removeprefix(S3_SCHEME).rstrip("/") for model in models})
    buckets = sorted({place.partition("/")[0] for place in places})
    if places:
        yield iam.PolicyStatement(
            principals=[iam.AnyPrincipal()],
            actions=["s3:GetObject"],
            resources=[f"arn:{Aws.PARTITION}:s3:::{place}/*" for place in places],
        )
        yield iam.PolicyStatement(
            principals=[iam.AnyPrincipal()],
            actions=["s3:ListBucket"],
            resources=[f"arn:{Aws.PARTITION}:s3:::{name}" for name in buckets],
        )


def _rows(resources: Resources) -> iam.PolicyStatement:
    """Tables by the stage's name, so that this network needs no change when there is one more."""
    tables = f"arn:{Aws.PARTITION}:dynamodb:{Aws.REGION}:{Aws.ACCOUNT_ID}:table/"
    return iam.PolicyStatement(
        principals=[iam.AnyPrincipal()],
        actions=["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
        resources=[f"{tables}{resources.stage.named('*')}"],
    )
