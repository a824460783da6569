"""The Kubernetes manifests: valid for the API server, true to the catalogue, the code and the settings."""

import ast
import importlib
import re
import warnings
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from services.cli.options import StateDir
from shared.catalogue import BY_SUBJECT, CATALOGUE, Room, Stream, durable_name
from shared.settings import RoomSettings
from tests.unit.deploy.manifests import (
    KUBERNETES,
    NAMESPACE,
    OVERLAYS,
    ROOT,
    Endpoint,
    Object,
    environment,
    has_kubectl,
    may_reach,
    named,
    of_kind,
    pods,
    render,
    selects,
    workloads,
)

API_VERSIONS = ("1.30", "1.32", "1.34")
WORKLOADS_OF = {room: (room.value,) for room in Room} | {
    Room.GENERATORS: ("generators-rendered", "generators-agentic"),
    Room.CLI: ("spiral",),
}
OPERATOR = "spiral"
ALL = tuple(name for names in WORKLOADS_OF.values() for name in names)
FOLDER_OF = {name: name.replace("-", "/") for name in ALL} | {OPERATOR: Room.CLI.value}
SETTINGS_OF = {
    "evaluator": "services.evaluator.settings:EvaluatorSettings",
    "attributor": "services.attributor.settings:AttributorSettings",
    "planner": "services.planner.settings:PlannerSettings",
    "generators-rendered": "services.generators.rendered.settings:RenderedSettings",
    "generators-agentic": "services.generators.agentic.settings:AgenticSettings",
    "quality": "services.quality.settings:QualitySettings",
    "trainer": "services.trainer.settings:TrainerSettings",
}
BROKER, GRPC, METRICS = "nats", 50051, 9090
BROKER_PORTS = {"client": 4222, "cluster": 6222, "monitoring": 8222}
GROWTH = "x" * len("-7d4b9c8f5d-x2x7k")
"""What a Deployment adds to its name for that of a pod."""

if not has_kubectl():
    warnings.warn("*** the Kubernetes manifests were NOT CHECKED: kubectl is missing ***", stacklevel=1)
pytestmark = pytest.mark.skipif(not has_kubectl(), reason="kubectl is missing: the Kubernetes manifests were NOT CHECKED")


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return render(request.param)


def settings_of(workload: str) -> type[RoomSettings]:
    module, name = SETTINGS_OF[workload].split(":")
    found: type[RoomSettings] = getattr(importlib.import_module(module), name)
    return found


def room_container(template: Object) -> Object:
    container: Object = template["spec"]["containers"][0]
    return container


@pytest.mark.parametrize("version", API_VERSIONS)
def test_every_object_is_valid_for_the_api_server(objects: list[Object], version: str) -> None:
    for one in objects:
        if one["kind"] != "ScaledObject":
            kubernetes_validate.validate(one, version, strict=True)


def test_a_misspelt_field_is_found(objects: list[Object]) -> None:
    broken = yaml.safe_load(yaml.safe_dump(of_kind(objects, "Deployment")["planner"]))
    broken["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesytem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, API_VERSIONS[-1], strict=True)


def test_every_room_and_the_broker_are_there(objects: list[Object]) -> None:
    assert set(workloads(objects)) == {*ALL, BROKER}
    assert set(of_kind(objects, "Deployment")) == {*ALL} - {OPERATOR}
    assert all(one["metadata"].get("namespace") == NAMESPACE for one in objects if one["kind"] != "Namespace")
    images = {room_container(template)["image"].rsplit(":", 1)[0] for name, template in workloads(objects).items() if name != BROKER}
    assert images == {f"spiral/{name}" for name in ALL}


def test_what_is_selected_and_referenced_exists(objects: list[Object]) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in workloads(objects).items()}
    for one in objects:
        if one["kind"] == "Service":
            assert any(one["spec"]["selector"].items() <= its.items() for its in labels.values()), one["metadata"]["name"]
        if one["kind"] in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
            taken = [name for name, its in labels.items() if selects(one["spec"]["selector"], its)]
            assert taken == [one["metadata"]["name"]]
        if one["kind"] == "NetworkPolicy":
            assert any(selects(one["spec"]["podSelector"], its) for its in labels.values()), one["metadata"]["name"]
    services = of_kind(objects, "Service")
    assert set(services) == set(labels) - {OPERATOR}
    for name, template in workloads(objects).items():
        spec = template["spec"]
        assert spec["serviceAccountName"] in of_kind(objects, "ServiceAccount")
        references = [ref for key in ("configMap", "configMapRef", "configMapKeyRef") for ref in named(spec, key)]
        assert {ref["name"] for ref in references} <= set(of_kind(objects, "ConfigMap")), name
        assert all(claim["claimName"] in of_kind(objects, "PersistentVolumeClaim") for claim in named(spec, "persistentVolumeClaim"))
        ports = {port["name"] for container in spec["containers"] for port in container.get("ports", ())}
        assert name not in services or {port["targetPort"] for port in services[name]["spec"]["ports"]} <= ports
        constraints = spec.get("topologySpreadConstraints", ())
        assert all(selects(one["labelSelector"], template["metadata"]["labels"]) for one in constraints)


def test_secrets_are_references_that_the_readme_makes(objects: list[Object]) -> None:
    assert not of_kind(objects, "Secret")
    readme = (KUBERNETES / "README.md").read_text()
    for name, template in workloads(objects).items():
        references = [*named(template, "secretKeyRef"), *named(template, "secretRef")]
        assert {ref["name"] for ref in references} == {f"spiral-{name}"}, "a room knows its own secret and no other"
        assert all(f"--from-literal={ref['key']}=" in readme for ref in references if "key" in ref)
    variables = {
        name
        for path in (KUBERNETES / "base" / "nats.conf", ROOT / "deploy" / "nats" / "users.conf")
        for name in re.findall(r"\$(NATS_\w+)", path.read_text())
    }
    given = set(environment(room_container(workloads(objects)[BROKER])))
    assert {name for name in variables - given if name.endswith("_PASSWORD")} == variables - given
    users = {name.removeprefix("NATS_").removesuffix("_PASSWORD").lower() for name in variables - given}
    (made,) = re.findall(r"for user in ([a-z ]+); do", readme)
    assert users == {*made.split()}


def test_no_pod_may_do_more_than_it_must(objects: list[Object]) -> None:
    for name, template in workloads(objects).items():
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert {"requests", "limits"} <= container["resources"].keys(), name


def test_the_environment_names_settings_that_exist(objects: list[Object]) -> None:
    shared = next(one["data"] for name, one in of_kind(objects, "ConfigMap").items() if name.startswith("rooms-"))
    for name in SETTINGS_OF:
        fields, container = settings_of(name).model_fields, room_container(workloads(objects)[name])
        own = environment(container)
        unknown = [variable for variable in (*shared, *own) if variable.removeprefix("SPIRAL_").lower() not in fields]
        assert not unknown, name
        values = {variable: entry.get("value", "nats://h:4222" if "BUS" in variable else "s3://h/b") for variable, entry in own.items()}
        values["SPIRAL_INSTANCE_ID"] = f"{name}{GROWTH}"
        settings = settings_of(name).model_validate({k.removeprefix("SPIRAL_").lower(): v for k, v in {**shared, **values}.items()})
        assert (settings.grpc_port, settings.metrics_port, settings.bus_replicas) == (GRPC, METRICS, 3)
        assert str(settings.work_dir) in {mount["mountPath"] for mount in container["volumeMounts"]}
        if name == "quality":
            assert settings.address(Room.EVALUATOR) == f"evaluator:{GRPC}"
        grace = settings.grace_s + getattr(settings, "training_stop_grace_s", 0)
        assert workloads(objects)[name]["spec"]["terminationGracePeriodSeconds"] > grace + 15
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["grpc"] == {"port": GRPC}
        starting = container["startupProbe"]
        assert starting["periodSeconds"] * starting["failureThreshold"] > settings.start_timeout_s


def test_the_operator_s_job_is_configured_by_names_that_exist(objects: list[Object]) -> None:
    known = {f"SPIRAL_{field.upper()}" for field in RoomSettings.model_fields} | {get_args(StateDir)[1].envvar}
    container = room_container(workloads(objects)[OPERATOR])
    assert set(environment(container)) <= known
    assert environment(container)["SPIRAL_STATE_DIR"]["value"] in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert of_kind(objects, "CronJob")[OPERATOR]["spec"]["suspend"] is True


def test_the_policy_s_server_shares_a_pod_and_its_directories_with_the_evaluator() -> None:
    spec = workloads(render("gpu"))["evaluator"]["spec"]
    room, server = spec["containers"]
    address = urlsplit(environment(room)["SPIRAL_POLICY_SERVER_URL"]["value"])
    assert {f"--host={address.hostname}", f"--port={address.port}"} <= set(server["args"])
    assert address.hostname == "127.0.0.1", "the development routes are for the evaluator alone"
    assert environment(server)["VLLM_SERVER_DEV_MODE"]["value"] == "1"
    for directory in (environment(room)["SPIRAL_POLICY_SERVER_DIR"]["value"], server["args"][0]):
        here, there = (
            [mount["name"] for mount in container["volumeMounts"] if Path(directory).is_relative_to(mount["mountPath"])]
            for container in (room, server)
        )
        assert here == there
        assert len(here) == 1
    assert server["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_broker_is_three_servers_that_know_each_other(objects: list[Object]) -> None:
    broker = of_kind(objects, "StatefulSet")[BROKER]
    (container,) = broker["spec"]["template"]["spec"]["containers"]
    assert (broker["spec"]["replicas"], of_kind(objects, "PodDisruptionBudget")[BROKER]["spec"]["minAvailable"]) == (3, 2)
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == BROKER_PORTS
    routes = [entry["value"].split("@")[1] for name, entry in environment(container).items() if name.startswith("NATS_ROUTE_")]
    assert routes == [f"nats-{index}.{broker['spec']['serviceName']}:6222" for index in range(3)]
    assert of_kind(objects, "Service")[BROKER]["spec"]["publishNotReadyAddresses"] is True
    assert environment(container)["NATS_STORE_DIR"]["value"] in {mount["mountPath"] for mount in container["volumeMounts"]}
    readme = (KUBERNETES / "README.md").read_text()
    assert all(f"@nats-{index}.nats:4222" in readme for index in range(3)), "rooms know all servers"


def test_scalers_watch_consumers_of_the_catalogue(objects: list[Object]) -> None:
    wanted = {
        "generators-rendered": durable_name(Room.GENERATORS, BY_SUBJECT["generation.requested"], "rendered"),
        "generators-agentic": durable_name(Room.GENERATORS, BY_SUBJECT["generation.requested"], "agentic"),
        "quality": durable_name(Room.QUALITY, BY_SUBJECT["candidates.generated"]),
    }
    scalers = of_kind(objects, "ScaledObject")
    assert set(scalers) == set(wanted)
    for name, scaler in scalers.items():
        assert scaler["apiVersion"] == "keda.sh/v1alpha1"
        spec = scaler["spec"]
        assert set(spec) == {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "triggers"}
        assert spec["scaleTargetRef"] == {"name": name}
        assert "replicas" not in of_kind(objects, "Deployment")[name]["spec"], "an apply must not undo what the scaler did"
        assert 1 < spec["minReplicaCount"] < spec["maxReplicaCount"]
        assert of_kind(objects, "PodDisruptionBudget")[name]["spec"]["maxUnavailable"] < spec["minReplicaCount"]
        (trigger,) = spec["triggers"]
        assert trigger["type"] == "nats-jetstream"
        assert int(trigger["metadata"].pop("lagThreshold")) > 0
        assert trigger["metadata"] == {
            "natsServerMonitoringEndpoint": f"{BROKER}.{NAMESPACE}.svc.cluster.local:{BROKER_PORTS['monitoring']}",
            "account": "$G",
            "stream": Stream.WORK.value,
            "consumer": wanted[name],
        }
    assert {BY_SUBJECT[subject].stream for subject in ("generation.requested", "candidates.generated")} == {Stream.WORK}


def names_in(workload: str) -> set[str]:
    """Every name that a workload's code uses."""
    names: set[str] = set()
    for path in (ROOT / "services" / FOLDER_OF[workload]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
    return names


def grpc_arrows() -> set[tuple[str, str, int]]:
    """Who calls whom, as the code has it: the stubs of one room, the servicers of the other; a health check goes to every room."""
    serves: dict[str, set[str]] = {}
    for workload in ALL:
        for name in names_in(workload):
            if name.endswith("Servicer_to_server"):
                serves.setdefault(name.removeprefix("add_").removesuffix("Servicer_to_server"), set()).add(workload)
    arrows: set[tuple[str, str]] = set()
    for caller in ALL:
        names = names_in(caller)
        stubs = {name.removesuffix("Stub") for name in names if name.endswith("Stub")}
        arrows |= {(caller, called) for service in stubs & set(serves) for called in serves[service]}
        if "HealthStub" in names:
            arrows |= {(caller, called) for called in ALL if called != OPERATOR}
    return {(caller, called, GRPC) for caller, called in arrows}


def test_the_network_allows_the_arrows_of_catalogue_and_code_and_no_others(objects: list[Object]) -> None:
    in_catalogue = {room for row in CATALOGUE for room in (*row.by, *row.to)}
    keda, prometheus, dns, stranger, store = (
        Endpoint("keda", (), (("kubernetes.io/metadata.name", "keda"),)),
        Endpoint("prometheus", (), (("kubernetes.io/metadata.name", "observing"), ("spiral-metrics", "scrape"))),
        Endpoint("dns", (), (("kubernetes.io/metadata.name", "kube-system"),)),
        Endpoint("stranger", (), (("kubernetes.io/metadata.name", "default"),)),
        Endpoint("the internet", (), (("kubernetes.io/metadata.name", ""),)),
    )
    inside = pods(objects)
    rooms = {name for room in in_catalogue for name in WORKLOADS_OF[room]}
    assert ("quality", "evaluator", GRPC) in grpc_arrows()
    wanted = (
        grpc_arrows()
        | {(room, BROKER, BROKER_PORTS["client"]) for room in rooms}
        | {(BROKER, BROKER, BROKER_PORTS["cluster"]), ("keda", BROKER, BROKER_PORTS["monitoring"])}
        | {("prometheus", room, METRICS) for room in rooms - {OPERATOR}}
        | {(pod.name, "dns", 53) for pod in inside}
        | {(room, "the internet", port) for room in rooms for port in (443, 9000)}
        | {("generators-agentic", "the internet", 80)}
    )
    everybody = [*inside, keda, prometheus, dns, stranger, store]
    allowed = {
        (source.name, target.name, port)
        for source in everybody
        for target in everybody
        for port in (53, 80, 443, 8000, 9000, GRPC, METRICS, *BROKER_PORTS.values())
        if (source.is_ours or target.is_ours) and may_reach(objects, source, target, port)
    }
    assert allowed == wanted


def test_each_room_is_on_the_readme_page() -> None:
    readme = (KUBERNETES / "README.md").read_text()
    assert all(name in readme for name in ALL)


def test_the_base_names_no_object_store() -> None:
    assert not [path for path in KUBERNETES.rglob("*.yaml") if "minio" in path.read_text().lower()]
