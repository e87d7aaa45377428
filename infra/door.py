"""The door: the one public host name where a stage takes files of any size (docs/door.md).

    callers ──TLS──► load balancer ──► tasks ──► S3, DynamoDB (endpoints of the network, free)
                                         └─────► API Gateway (over the internet, TLS)

Tasks stand in public subnets with addresses of their own: a NAT gateway would cost more than all the rest. Nobody but
the load balancer reaches them. A load balancer has no limit on a body, and its idle time-out is between two bytes.
"""

from __future__ import annotations

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.alarms import watch_door_errors
from infra.rights import Resources, environment, grant
from infra.roles import DOOR_ACCESS
from infra.stage import Stage

PORT = 8_080
ZONES = 2  # a load balancer wants no fewer
CPU_UNITS, MEMORY_MIB = 1_024, 2_048
UPLOADS_MIB = 1_024  # what they may hold of it, all together
TASKS_MIN = 1
CPU_PERCENT, MEMORY_PERCENT = 60, 60
# S3 may take minutes to put 10 GB together, and nothing flows meanwhile. The door keeps connections longer than this.
IDLE_SECONDS = 300
KEEP_ALIVE_SECONDS = 330
# A task that goes finishes its uploads first; what is left then has until SIGKILL to be given up.
DRAIN_SECONDS = 900
STOP_SECONDS = 120
SIGTERM_DRAIN_SECONDS = 100
HEALTH_PATH = "/healthz"


class Door(Construct):
    """`load_balancer`, `service`. What a task may do is in DOOR_ACCESS."""

    def __init__(
        self, scope: Construct, id: str, *, image: ecr_assets.DockerImageAsset,
        resources: Resources, rest_api: apigateway.RestApi,
    ) -> None:  # fmt: skip
        super().__init__(scope, id)
        self._resources = resources
        stage = resources.stage
        vpc = self._network()
        outside = ec2.SecurityGroup(
            self, "Outside", vpc=vpc, description="The load balancer", allow_all_outbound=False
        )
        inside = ec2.SecurityGroup(
            self, "Inside", vpc=vpc, description="Tasks of the door", allow_all_outbound=False
        )
        outside.add_ingress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "Callers")
        outside.add_egress_rule(inside, ec2.Port.tcp(PORT), "Tasks")
        inside.add_ingress_rule(outside, ec2.Port.tcp(PORT), "The load balancer")
        inside.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS")
        self.service = self._service(stage, vpc, inside, self._task(image, rest_api))
        self.load_balancer = elb.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            load_balancer_name=stage.named("door"),
            vpc=vpc,
            internet_facing=True,
            security_group=outside,
            idle_timeout=Duration.seconds(IDLE_SECONDS),
            drop_invalid_header_fields=True,
        )
        self._listen(stage)
        self._scale(stage)
        if not stage.emulated:
            watch_door_errors(self, stage, self.load_balancer)

    def _network(self) -> ec2.Vpc:
        vpc = ec2.Vpc(
            self,
            "Network",
            max_azs=ZONES,
            nat_gateways=0,
            restrict_default_security_group=False,  # by a function of CDK's; nothing is in that group
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24
                )
            ],
        )
        vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        vpc.add_gateway_endpoint("DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        return vpc

    def _task(
        self, image: ecr_assets.DockerImageAsset, rest_api: apigateway.RestApi
    ) -> ecs.FargateTaskDefinition:
        resources = self._resources
        log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/ecs/{resources.stage.named('door')}",
            retention=resources.stage.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
            encryption_key=resources.key,
        )
        task = ecs.FargateTaskDefinition(
            self,
            "Task",
            family=resources.stage.named("door"),
            cpu=CPU_UNITS,
            memory_limit_mib=MEMORY_MIB,
            task_role=self._role(),
            # What ECS needs to start a task is written out below, and not what CDK would make of it.
            execution_role=self._execution_role(image).without_policy_updates(),
        )
        container = task.add_container(
            "Door",
            image=ecs.ContainerImage.from_docker_image_asset(image),
            port_mappings=[ecs.PortMapping(container_port=PORT)],
            logging=ecs.LogDrivers.aws_logs(stream_prefix="door", log_group=log_group),
            stop_timeout=Duration.seconds(STOP_SECONDS),
            readonly_root_filesystem=True,
            environment={
                **environment(DOOR_ACCESS, resources),
                "OFFPEAK_GATEWAY_URL": rest_api.url,
                "OFFPEAK_PORT": str(PORT),
                "OFFPEAK_BYTES_HELD_MAX": str(UPLOADS_MIB * 1_024 * 1_024),
                "OFFPEAK_KEEP_ALIVE_SECONDS": str(KEEP_ALIVE_SECONDS),
                "OFFPEAK_DRAIN_SECONDS": str(SIGTERM_DRAIN_SECONDS),
            },
        )
        container.add_ulimits(
            ecs.Ulimit(name=ecs.UlimitName.NOFILE, soft_limit=65_536, hard_limit=65_536)
        )
        return task

    def _role(self) -> iam.Role:
        self.role = iam.Role(
            self, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com")
        )
        grant(self.role, DOOR_ACCESS, self._resources)
        return self.role

    def _execution_role(self, image: ecr_assets.DockerImageAsset) -> iam.Role:
        """ECS's own, to start a task: the image, and the streams of its log."""
        role = iam.Role(
            self, "ExecutionRole", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com")
        )
        image.repository.grant_pull(role)
        name = f"/ecs/{self._resources.stage.named('door')}"
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[
                    f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:{name}:*"
                ],
            )
        )
        return role

    def _service(
        self, stage: Stage, vpc: ec2.Vpc, inside: ec2.SecurityGroup,
        task: ecs.FargateTaskDefinition,
    ) -> ecs.FargateService:  # fmt: skip
        """Without a desired count: an update would set back what scaling has chosen."""
        cluster = ecs.Cluster(self, "Cluster", vpc=vpc, cluster_name=stage.named("door"))
        return ecs.FargateService(
            self,
            "Service",
            service_name=stage.named("door"),
            cluster=cluster,
            task_definition=task,
            assign_public_ip=True,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            security_groups=[inside],
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            health_check_grace_period=Duration.seconds(60),
        )

    def _listen(self, stage: Stage) -> None:
        """On TLS alone: a key that was sent in the clear once is lost. The emulated stage's is never made."""
        certificates = []
        if stage.certificate_arn is not None:
            certificates = [
                acm.Certificate.from_certificate_arn(self, "Certificate", stage.certificate_arn)
            ]
        listener = self.load_balancer.add_listener(
            "Listener",
            port=443,
            protocol=elb.ApplicationProtocol.HTTP
            if stage.emulated
            else elb.ApplicationProtocol.HTTPS,
            certificates=certificates,
            ssl_policy=None if stage.emulated else elb.SslPolicy.RECOMMENDED_TLS,
            open=False,  # its security group says who may come
        )
        listener.add_targets(
            "Tasks",
            port=PORT,
            protocol=elb.ApplicationProtocol.HTTP,
            targets=[self.service],
            load_balancing_algorithm_type=elb.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
            deregistration_delay=Duration.seconds(DRAIN_SECONDS),
            health_check=elb.HealthCheck(
                path=HEALTH_PATH,
                interval=Duration.seconds(15),
                timeout=Duration.seconds(5),
                healthy_threshold_count=2,
                unhealthy_threshold_count=3,
            ),
        )

    def _scale(self, stage: Stage) -> None:
        """Busy uploads take CPU, slow ones memory."""
        tasks = self.service.auto_scale_task_count(
            min_capacity=TASKS_MIN, max_capacity=stage.door_tasks_max
        )
        slowly = Duration.minutes(10)
        tasks.scale_on_cpu_utilization(
            "Cpu", target_utilization_percent=CPU_PERCENT, scale_in_cooldown=slowly
        )
        tasks.scale_on_memory_utilization(
            "Memory", target_utilization_percent=MEMORY_PERCENT, scale_in_cooldown=slowly
        )
