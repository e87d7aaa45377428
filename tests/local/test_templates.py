import pytest

from offpeak.local.templates import Resolver, Unresolved

RESOLVER = Resolver(
    names={"AWS::Region": "us-east-1", "Bucket": "offpeak"},
    attributes={"Role.Arn": "arn:aws:iam::0:role/r"},
    imports={"storage:Bucket": "offpeak-local"},
)


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"Ref": "Bucket"}, "offpeak"),
        ({"Fn::GetAtt": ["Role", "Arn"]}, "arn:aws:iam::0:role/r"),
        ({"Fn::GetAtt": "Role.Arn"}, "arn:aws:iam::0:role/r"),
        ({"Fn::ImportValue": "storage:Bucket"}, "offpeak-local"),
        ({"Fn::ImportValue": {"Fn::Join": [":", ["storage", "Bucket"]]}}, "offpeak-local"),
        ({"Fn::Join": ["", ["s3://", {"Ref": "Bucket"}, "/out"]]}, "s3://offpeak/out"),
        ({"Fn::Sub": "${Bucket}.${AWS::Region}-${Role.Arn}"}, "offpeak.us-east-1-arn:aws:iam::0:role/r"),
        ({"Fn::Sub": ["${Own}/${!Kept}", {"Own": {"Ref": "Bucket"}}]}, "offpeak/${Kept}"),
        ({"Fn::Select": [1, {"Fn::Split": ["-", {"Ref": "AWS::Region"}]}]}, "east"),
        ([{"deep": [{"Ref": "Bucket"}]}, 7, None], [{"deep": ["offpeak"]}, 7, None]),
    ],
)  # fmt: skip
def test_intrinsic_functions_become_values(value: object, resolved: object) -> None:
    assert RESOLVER.resolve(value) == resolved


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"Ref": "Nobody"}, "Nobody"),
        ({"Fn::ImportValue": "storage:Gone"}, "storage:Gone"),
        ({"Fn::Sub": "${Role.Id}"}, "Role.Id"),
        ({"Fn::Cidr": []}, "Fn::Cidr"),
    ],
)
def test_what_has_no_value_is_named(value: object, named: str) -> None:
    with pytest.raises(Unresolved, match=named):
        RESOLVER.resolve(value)
