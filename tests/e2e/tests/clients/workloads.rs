//! Workloads and nodes.

use anyhow::Result;
use test_e2e::World;

use crate::kubectl::Kubectl;

pub fn workloads_are_rolled_out(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "rolled")?;
    k.run(&["create", "deployment", "web", "--image=keelson.io/hello:1", "--", "sh", "-c", "sleep 98741"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.run(&["scale", "deployment/web", "--replicas=2"])?;
    k.says(&["wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/web", "--timeout=90s"], "condition met")?;
    k.run(&["set", "env", "deployment/web", "COLOUR=blue"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.run(&["set", "resources", "deployment/web", "--limits=memory=64Mi"])?;
    k.run(&["rollout", "pause", "deployment/web"])?;
    k.run(&["set", "image", "deployment/web", "hello=keelson.io/hello:1"])?;
    k.run(&["rollout", "resume", "deployment/web"])?;
    k.says(&["rollout", "history", "deployment/web"], "REVISION")?;
    k.run(&["rollout", "restart", "deployment/web"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.run(&["rollout", "undo", "deployment/web"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.says(&["expose", "deployment", "web", "--port=80", "--target-port=8080"], "service/web exposed")?;
    k.run(&["autoscale", "deployment", "web", "--min=1", "--max=3"])?;
    k.says(&["get", "hpa", "web"], "Deployment/web")?;
    k.says(&["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"], "condition met")?;
    k.run(&["delete", "deployment,service,hpa", "web"])?;
    k.run(&["wait", "--for=delete", "pods", "-l", "app=web", "--timeout=60s"]).map(drop)
}

pub fn nodes_are_kept(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "kept")?;
    k.run(&["taint", "nodes", "node-0", "test=kept:NoSchedule"])?;
    k.says(&["describe", "node", "node-0"], "test=kept:NoSchedule")?;
    k.run(&["taint", "nodes", "node-0", "test:NoSchedule-"])?;
    k.run(&["create", "deployment", "web", "--image=keelson.io/hello:1", "--", "sh", "-c", "sleep 98742"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.run(&["cordon", "node-0"])?;
    k.says(&["get", "node", "node-0"], "SchedulingDisabled")?;
    k.run(&["drain", "node-0", "--ignore-daemonsets", "--pod-selector=app=web", "--timeout=60s"])?;
    k.run(&["uncordon", "node-0"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"]).map(drop)
}
