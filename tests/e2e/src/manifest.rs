//! Manifests of tests, as a user would write them.

/// A Deployment of the hello image and a Service before it; `extra` are lines of the container, indented by eight.
pub fn web(name: &str, replicas: u32, page: &str, extra: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  replicas: {replicas}
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: keelson.io/hello:1
        command: [sh, -c, \"echo {page} >/www/index.html; exec httpd -f -p 8080 -h /www\"]
        ports:
        - containerPort: 8080
        readinessProbe:
          httpGet: {{path: /, port: 8080}}
          periodSeconds: 1
{extra}
---
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  selector: {{app: {name}}}
  ports:
  - port: 80
    targetPort: 8080
"
    )
}

/// A pod that runs a shell script; `extra` are lines of the container, indented by four.
pub fn pod(name: &str, script: &str, extra: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{app: {name}}}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: main
    image: keelson.io/hello:1
    command: [sh, -c, {script:?}]
{extra}
"
    )
}
