"""Sends what the served OpenAPI documents allow, and what they forbid, and looks whether the answers keep to them.

`check.py SERVER CREDENTIALS SECONDS CASES GROUP_VERSION...`: CREDENTIALS is a folder with admin.crt, admin.key and ca.crt;
each operation of `/openapi/v3/GROUP_VERSION` gets at most CASES requests of each kind, each group version SECONDS. The
requests follow from a fixed seed; a slow machine sends the first of them. Kubernetes' documents name success and 401 only, so of refusals is asked that they are a Status.
"""

import collections
import json
import random
import sys
import time

import hypothesis
import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, CHECKS
from schemathesis.config import SchemathesisConfig

SERVER, CREDENTIALS, SECONDS, CASES, *GROUP_VERSIONS = sys.argv[1:]
SEED = 20260101
# Each is a stream to a kubelet or a proxy: there is no node here.
STREAMS = ("/exec", "/attach", "/portforward", "/proxy", "/proxy/{path}", "/log")
METHODS = ("get", "post", "put", "patch", "delete")
POD = {"containers": [{"name": "main", "image": "keelson.io/hello:1"}]}
LABELS = {"app": "seed"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
WORKLOAD = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
# What an object of a kind must have to be accepted; of other kinds a name will do.
LEAST = {
    "Pod": {"spec": POD},
    "PodTemplate": {"template": TEMPLATE},
    "ReplicationController": {"spec": {"selector": LABELS, "template": TEMPLATE}},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "PersistentVolume": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}
    },
    "PersistentVolumeClaim": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    "ControllerRevision": {"revision": 1, "data": {}},
    "DaemonSet": {"spec": WORKLOAD},
    "Deployment": {"spec": WORKLOAD},
    "ReplicaSet": {"spec": WORKLOAD},
    "StatefulSet": {"spec": {**WORKLOAD, "serviceName": "seed"}},
    "Job": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
    "CronJob": {
        "spec": {
            "schedule": "* * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
        }
    },
    "HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "seed"}}
    },
    "Ingress": {
        "spec": {"defaultBackend": {"service": {"name": "seed", "port": {"number": 80}}}},
    },
    "IngressClass": {"spec": {"controller": "example.com/seed"}},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}}},
    "ClusterRole": {"rules": [RULE]},
    "Role": {"rules": [RULE]},
    "ClusterRoleBinding": {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "seed"}},
    "RoleBinding": {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "seed"}},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": []},
    "PriorityClass": {"value": 10},
    "StorageClass": {"provisioner": "example.com/seed"},
    "CSINode": {"spec": {"drivers": []}},
}
ON_THE_WAY = LEAST.keys() | {"ConfigMap", "Secret", "ServiceAccount", "LimitRange", "Lease", "Endpoints", "Namespace", "Node"}

session = requests.Session()
session.cert = (f"{CREDENTIALS}/admin.crt", f"{CREDENTIALS}/admin.key")
session.verify = f"{CREDENTIALS}/ca.crt"
# A proxy, or other authorities, of the environment are not meant for this server.
session.trust_env = False
sent = collections.Counter()
found = {}
load_all_checks()
conformance = [CHECKS.get_one(name) for name in ("content_type_conformance", "response_schema_conformance")]


def least(kind, version):
    """The smallest object of a kind that the server takes."""
    metadata = {"name": "seed", "labels": LABELS}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **LEAST.get(kind, {})}


def document(group_version):
    """The served document; bodies are sent as JSON, where it says that anything is taken."""
    answer = session.get(f"{SERVER}/openapi/v3/{group_version}")
    answer.raise_for_status()
    text = answer.json()
    text["paths"] = {path: one for path, one in text["paths"].items() if not path.endswith(STREAMS) and "/watch/" not in path}
    for operations in text["paths"].values():
        for method in METHODS:
            content = operations.get(method, {}).get("requestBody", {}).get("content", {})
            if "*/*" in content:
                content["application/json"] = content.pop("*/*")
    return text


def seed_objects(text):
    """Makes an object of each kind, so that operations have something to work on."""
    for path, operations in text["paths"].items():
        kind = operations.get("post", {}).get("x-kubernetes-group-version-kind", {})
        if path.endswith("}") or kind.get("kind") not in ON_THE_WAY:
            continue
        version = "/".join(filter(None, (kind["group"], kind["version"])))
        answer = session.post(SERVER + path.replace("{namespace}", "seed"), json=least(kind["kind"], version))
        if answer.status_code not in (201, 409):
            note("seed", path, f"{answer.status_code} {answer.text}")


def note(what, where, why):
    found.setdefault((what, where), why[:1200])


def lay_over(base, top):
    """What is asked for, over what the generator made."""
    if isinstance(base, dict) and isinstance(top, dict):
        return {**base, **{key: lay_over(base.get(key), value) for key, value in top.items()}}
    return top


def likely(case, number):
    """Makes every second request one that may succeed: names of what is there, and what an object must have."""
    for name in case.path_parameters or {}:
        if name in ("namespace", "name") and (number % 2 or not isinstance(case.path_parameters[name], str)):
            case.path_parameters[name] = "seed"
    query = case.query if isinstance(case.query, dict) else {}
    if query.get("watch") or case.method == "GET":
        query["timeoutSeconds"] = "1"
    if case.method in ("POST", "PUT", "PATCH") and case.media_type != "application/apply-patch+yaml":
        query.setdefault("dryRun", "All")
    case.query = query
    kind = case.operation.definition.raw.get("x-kubernetes-group-version-kind", {})
    if number % 2 and case.method in ("POST", "PUT") and isinstance(case.body, dict):
        version = "/".join(filter(None, (kind.get("group"), kind.get("version"))))
        body = lay_over(case.body, least(kind.get("kind"), version))
        # Fields that the generator filled make nearly every object wrong: every fourth request keeps them.
        kept = body if number % 4 == 1 else {key: body[key] for key in least(kind.get("kind"), version)}
        kept["metadata"] = least(kind.get("kind"), version)["metadata"]
        case.body = kept


def judge(case, response):
    where = f"{case.method} {case.operation.path}"
    sent[response.status_code // 100] += 1
    text = response.content[:400].decode(errors="replace")
    if response.status_code >= 500:
        # Upstream asks to try again, with 504, when a version is asked for that is not there yet.
        if not (response.status_code == 504 and "Too large resource version" in text):
            note(response.status_code, where, f"{text}\n  {case.as_curl_command()}")
    elif response.status_code >= 400:
        status = response.headers.get("content-type", [""])[0].startswith("application/json") and json.loads(response.content)
        if response.status_code not in (404, 405) and (not status or status["kind"] != "Status" or status["code"] != response.status_code):
            note("no Status", where, f"{response.status_code} {text}\n  {case.as_curl_command()}")
    elif response.status_code >= 200 and not (case.query or {}).get("watch"):
        if str(response.status_code) not in case.operation.definition.raw["responses"]:
            note("undocumented", where, f"{response.status_code}\n  {case.as_curl_command()}")
        try:
            case.validate_response(response, checks=conformance)
        except (Exception, BaseExceptionGroup) as error:
            # Go writes null for lists that are not there; the documents do not tell.
            if "null is not of type" not in whole(error):
                note("another form", where, f"{whole(error)}\n  {case.as_curl_command()}")


def whole(error):
    """The texts of an error and of those in it."""
    return " ".join([str(error), *map(whole, getattr(error, "exceptions", ()))])


def check(operation, mode, end):
    count = iter(range(10**9))

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=int(CASES),
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(mode))
    def run(case):
        if time.monotonic() > end:
            return
        likely(case, next(count))
        try:
            response = case.call(base_url=SERVER, session=session, verify=session.verify, cert=session.cert, timeout=30)
        except requests.RequestException as error:
            note("no answer", f"{case.method} {case.operation.path}", f"{error}\n  {case.as_curl_command()}")
        else:
            judge(case, response)

    run()


def main():
    session.post(f"{SERVER}/api/v1/namespaces", json=least("Namespace", "v1"))
    session.post(f"{SERVER}/api/v1/namespaces/seed/serviceaccounts", json={"metadata": {"name": "default"}})
    config = SchemathesisConfig()
    for group_version in GROUP_VERSIONS:
        text = document(group_version)
        seed_objects(text)
        schema = schemathesis.openapi.from_dict(text, config=config)
        operations = [result.ok() for result in schema.get_all_operations()]
        # A slow machine does not get to the end: then those that were not reached lie everywhere.
        random.Random(SEED).shuffle(operations)
        end, reached = time.monotonic() + float(SECONDS), 0
        for operation in operations:
            if time.monotonic() > end:
                break
            reached += 1
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                try:
                    check(operation, mode, end)
                except hypothesis.errors.Unsatisfiable:
                    # Nothing about this operation can be wrong.
                    continue
        print(f"{group_version}: {reached} of {len(operations)} operations", flush=True)
    counts = ", ".join(f"{sent[kind]} answers {kind}xx" for kind in sorted(sent))
    for (what, where), why in sorted(found.items(), key=str):
        print(f"{what}: {where}: {why}")
    print(f"{counts}; {len(found)} operations answered what they must not")
    sys.exit(bool(found) or not sent[2])


main()
