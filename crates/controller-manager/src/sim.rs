//! A cluster in memory for tests: plans are carried out on plain lists, pods become ready when told.

use proto::apps::v1::{Deployment, ReplicaSet};
use proto::core::v1::{Pod, PodCondition};
use proto::time::Time;

use crate::plan::{Note, Plan, Write};
use crate::{deployment, pod, replicaset};

/// One Deployment with its sets and pods.
#[derive(Default)]
pub struct World {
    pub deployment: Deployment,
    pub sets: Vec<ReplicaSet>,
    pub pods: Vec<Pod>,
    pub events: Vec<String>,
    pub now: i64,
    names: u32,
}

impl World {
    /// A Deployment of `replicas` pods with one container.
    pub fn new(replicas: i32) -> Self {
        let mut deployment = Deployment::default();
        deployment.metadata.name = "d".into();
        deployment.metadata.uid = "uid-d".into();
        deployment.metadata.generation = 1;
        deployment.spec.replicas = Some(replicas);
        deployment.spec.revision_history_limit = Some(10);
        deployment.spec.progress_deadline_seconds = Some(600);
        deployment.spec.strategy.r#type = "RollingUpdate".into();
        let labels = std::collections::BTreeMap::from([("app".to_owned(), "x".to_owned())]);
        deployment.spec.template.metadata.labels = labels.clone();
        deployment.spec.selector = Some(proto::meta::v1::LabelSelector { match_labels: labels, ..Default::default() });
        deployment.spec.template.spec.containers = vec![proto::core::v1::Container { name: "c".into(), ..Default::default() }];
        Self { deployment, now: 1000, ..Self::default() }
    }

    /// Changes the template, as a user's new image does.
    pub fn set_image(&mut self, image: &str) {
        self.deployment.spec.template.spec.containers[0].image = image.into();
        self.deployment.metadata.generation += 1;
    }

    pub fn set_replicas(&mut self, replicas: i32) {
        self.deployment.spec.replicas = Some(replicas);
        self.deployment.metadata.generation += 1;
    }

    /// Every controller looks once. Returns whether any of them wrote something.
    pub fn step(&mut self) -> bool {
        let now = Time { seconds: self.now, nanos: 0 };
        let sets: Vec<&ReplicaSet> = self.sets.iter().collect();
        let pods: Vec<&Pod> = self.pods.iter().collect();
        let mut plans = vec![deployment::plan(&self.deployment, &sets, &pods, now)];
        plans.extend(sets.iter().map(|set| replicaset::plan(set, &pods, None, now)));
        let mut wrote = false;
        for plan in plans {
            wrote |= self.carry_out(plan);
        }
        wrote
    }

    /// Steps until nothing is left to do; pods stay as they are.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            if !self.step() {
                return;
            }
        }
        panic!("the controllers never come to rest");
    }

    /// Makes the first pod that is not ready run and be ready. Returns whether there was one.
    pub fn start_one(&mut self) -> bool {
        let transition = Time { seconds: self.now, nanos: 0 };
        let Some(pod) = self.pods.iter_mut().find(|pod| !pod::is_ready(pod)) else { return false };
        pod.status.phase = "Running".into();
        pod.status.conditions =
            vec![PodCondition { r#type: "Ready".into(), status: "True".into(), last_transition_time: transition, ..PodCondition::default() }];
        true
    }

    pub fn available(&self) -> usize {
        self.pods.iter().filter(|pod| pod::is_ready(pod)).count()
    }

    pub fn condition(&self, kind: &str) -> Option<String> {
        let condition = self.deployment.status.conditions.iter().find(|condition| condition.r#type == kind)?;
        Some(format!("{} {}", condition.status, condition.reason))
    }

    fn carry_out(&mut self, plan: Plan) -> bool {
        let wrote = !plan.steps.is_empty();
        for step in plan.steps {
            let name = self.write(step.write);
            self.tell(step.on_success, &name);
        }
        wrote
    }

    fn tell(&mut self, note: Option<Note>, name: &str) {
        if let Some(note) = note {
            self.events.push(format!("{} {}", note.reason, note.message.replace("{name}", name)));
        }
    }

    fn write(&mut self, write: Write) -> String {
        match write {
            Write::Create(mut object) => {
                self.names += 1;
                let metadata = object.metadata_mut();
                if metadata.name.is_empty() {
                    metadata.name = format!("{}{}", metadata.generate_name, self.names);
                }
                metadata.uid = format!("uid-{}", self.names);
                metadata.generation = 1;
                metadata.creation_timestamp = Time { seconds: self.now, nanos: 0 };
                let name = metadata.name.clone();
                match object.downcast_ref::<Pod>() {
                    Some(pod) => self.pods.push(pod.clone()),
                    None => self.sets.push(object.downcast_ref::<ReplicaSet>().unwrap().clone()),
                }
                name
            }
            Write::Update(object) => {
                let name = object.metadata().name.clone();
                if let Some(set) = object.downcast_ref::<ReplicaSet>() {
                    let known = self.sets.iter_mut().find(|known| known.metadata.uid == set.metadata.uid).unwrap();
                    let resized = known.spec != set.spec;
                    known.metadata = set.metadata.clone();
                    known.spec = set.spec.clone();
                    known.metadata.generation += i64::from(resized);
                } else {
                    self.deployment.metadata = object.metadata().clone();
                }
                name
            }
            Write::UpdateStatus(object) => {
                let name = object.metadata().name.clone();
                match object.downcast_ref::<ReplicaSet>() {
                    Some(set) => {
                        let known = self.sets.iter_mut().find(|known| known.metadata.uid == set.metadata.uid).unwrap();
                        known.status = set.status.clone();
                    }
                    None => self.deployment.status = object.downcast_ref::<Deployment>().unwrap().status.clone(),
                }
                name
            }
            Write::Delete(target) => {
                self.pods.retain(|pod| pod.metadata.uid != target.uid);
                self.sets.retain(|set| set.metadata.uid != target.uid);
                target.name
            }
        }
    }
}
