//! A cluster in memory for tests: an API server with versions, and a view that hears of changes late.
//!
//! Plans are carried out as [`crate::execute`] does: conditionally, and visible to the next plan at once. Everything
//! else reaches the view only by [`Sim::deliver`], so tests can show that no order of events breaks a promise.

use std::collections::{BTreeMap, VecDeque};

use client::informer::Key;
use proto::Object;
use proto::apps::v1::{Deployment, ReplicaSet};
use proto::core::v1::{Container, Namespace, Node, Pod, PodCondition, Service};
use proto::discovery::v1::EndpointSlice;
use proto::dynamic::DynObject;
use proto::time::Time;

use crate::controllers::{deployment, endpointslice, replicaset};
use crate::flags::Settings;
use crate::pods;
use crate::view::View;
use crate::write::{Note, Plan, Verb};

/// An empty view.
pub fn view() -> View {
    View::new(Settings::default())
}

pub fn namespace(name: &str) -> Namespace {
    let mut namespace = Namespace::default();
    namespace.metadata.name = name.into();
    namespace
}

pub fn node(name: &str) -> Node {
    let mut node = Node::default();
    node.metadata.name = name.into();
    node
}

/// A Deployment `n/d` of `replicas` pods with one container.
pub fn deployment(replicas: i32) -> Deployment {
    let mut deployment = Deployment::default();
    deployment.metadata.namespace = "n".into();
    deployment.metadata.name = "d".into();
    deployment.spec.replicas = Some(replicas);
    deployment.spec.revision_history_limit = Some(10);
    deployment.spec.progress_deadline_seconds = Some(600);
    deployment.spec.strategy.r#type = "RollingUpdate".into();
    let labels = BTreeMap::from([("app".to_owned(), "x".to_owned())]);
    deployment.spec.template.metadata.labels = labels.clone();
    deployment.spec.selector = Some(proto::meta::v1::LabelSelector { match_labels: labels, ..Default::default() });
    deployment.spec.template.spec.containers = vec![Container { name: "c".into(), ..Default::default() }];
    deployment
}

/// Makes a pod run and be ready.
pub fn ready(pod: &mut Pod, now: i64) {
    pod.spec.node_name = "node".into();
    pod.status.phase = "Running".into();
    pod.status.conditions = vec![PodCondition {
        r#type: "Ready".into(),
        status: "True".into(),
        last_transition_time: Time::from_unix(now),
        ..PodCondition::default()
    }];
}

type At = (&'static str, String, String);

/// The server, and the view of it.
pub struct Sim {
    pub view: View,
    pub events: Vec<String>,
    pub now: i64,
    objects: BTreeMap<At, Box<dyn DynObject>>,
    /// What the view has not heard of: the object, and whether it is gone.
    unheard: VecDeque<(Box<dyn DynObject>, bool)>,
    revision: i64,
    names: u32,
    /// Creating pods is refused.
    pub refuse_pods: bool,
}

fn at(object: &dyn DynObject) -> At {
    let meta = object.metadata();
    (object.info().kind, meta.namespace.clone(), meta.name.clone())
}

impl Sim {
    pub fn new() -> Self {
        Self {
            view: view(),
            events: Vec::new(),
            now: 1000,
            objects: BTreeMap::new(),
            unheard: VecDeque::new(),
            revision: 0,
            names: 0,
            refuse_pods: false,
        }
    }

    /// A user creates something; the view hears of it.
    pub fn create<T: Object>(&mut self, object: T) {
        self.write(&Verb::Create(Box::new(object))).expect("created");
        self.deliver_all();
    }

    /// Somebody else changes an object, status included.
    pub fn change<T: Object>(&mut self, name: &str, change: impl FnOnce(&mut T)) {
        let mut object = self.get::<T>(name);
        change(&mut object);
        if let Some(deployment) = object_mut::<T, Deployment>(&mut object) {
            deployment.metadata.generation += 1;
        }
        self.store(Box::new(object));
    }

    pub fn get<T: Object>(&self, name: &str) -> T {
        let found = self.list::<T>().into_iter().find(|object| object.metadata().name == name);
        found.unwrap_or_else(|| panic!("no {} {name}", T::KIND))
    }

    pub fn list<T: Object>(&self) -> Vec<T> {
        self.objects.values().filter_map(|object| object.downcast_ref::<T>()).cloned().collect()
    }

    /// The view hears of the next change. False: there is none.
    pub fn deliver(&mut self) -> bool {
        let Some((object, gone)) = self.unheard.pop_front() else { return false };
        macro_rules! deliver {
            ($($store:ident),*) => {
                $(if let Some(object) = object.downcast_ref() {
                    let object = Clone::clone(object);
                    if gone { self.view.$store.remove(object); } else { self.view.$store.put(object); }
                    return true;
                })*
            };
        }
        deliver!(deployments, replica_sets, pods, services, slices, endpoints, nodes, namespaces, leases);
        true
    }

    pub fn deliver_all(&mut self) {
        while self.deliver() {}
    }

    /// Carries a plan out as far as the server lets it. True: something was written.
    pub fn carry_out(&mut self, plan: Plan) -> bool {
        let mut wrote = false;
        for write in plan.writes {
            let owner = match &write.verb {
                Verb::Create(object) => api::meta::controller_of(object.metadata()).map(|owner| owner.uid.clone()),
                _ => None,
            };
            match self.write(&write.verb) {
                Ok(name) => {
                    wrote = true;
                    if let Some(owner) = owner {
                        self.view.set_create_failure(&owner, None);
                    }
                    self.tell(write.told, "{name}", &name);
                }
                Err(error) => {
                    if let Some(owner) = owner {
                        self.view.set_create_failure(&owner, Some(error.clone()));
                    }
                    self.tell(write.failed, "{error}", &error);
                    return wrote;
                }
            }
        }
        wrote
    }

    /// One look of the Deployment controller.
    pub fn look_deployment(&mut self) -> bool {
        let plan = deployment::plan(&self.view, &Key::new("n", "d"), Time::from_unix(self.now));
        self.carry_out(plan)
    }

    /// One look of the ReplicaSet controller at every set, or at one of them.
    pub fn look_sets(&mut self, which: Option<usize>) -> bool {
        let keys: Vec<Key> = self.view.replica_sets.list().iter().map(|set| Key::of(&**set)).collect();
        let mut wrote = false;
        for (index, key) in keys.iter().enumerate() {
            if which.is_none_or(|which| which % keys.len() == index) {
                let plan = replicaset::plan(&self.view, key, Time::from_unix(self.now));
                wrote |= self.carry_out(plan);
            }
        }
        wrote
    }

    /// One look of the EndpointSlice controller. Gives its moves in short.
    pub fn look_slices(&mut self, service: &str) -> Vec<String> {
        let plan = endpointslice::plan(&self.view, &Key::new("n", service), Time::from_unix(self.now));
        let short = |verb: &Verb| match verb {
            Verb::Create(_) => "create".to_owned(),
            Verb::Update(object) => format!("update {}", object.metadata().name),
            Verb::Delete { object, .. } => format!("delete {}", object.metadata().name),
            _ => "other".to_owned(),
        };
        let moves = plan.writes.iter().map(|write| short(&write.verb)).collect();
        self.carry_out(plan);
        self.deliver_all();
        moves
    }

    /// Everybody hears everything and looks, until nobody writes; pods that are deleted end. Pods do not start.
    pub fn settle(&mut self) {
        for _ in 0..200 {
            self.deliver_all();
            let ended = self.end_pods(None);
            self.deliver_all();
            if !(self.look_deployment() | self.look_sets(None) | ended) {
                return;
            }
        }
        panic!("the controllers never come to rest: {:?}", self.events);
    }

    /// Pods start one after the other until the rollout is through.
    pub fn roll_out(&mut self) {
        for _ in 0..500 {
            self.settle();
            if !self.start_pod() {
                return;
            }
        }
        panic!("the rollout does not end");
    }

    /// The first pod that is not ready becomes so. False: there is none.
    pub fn start_pod(&mut self) -> bool {
        let pods = self.list::<Pod>();
        let Some(waiting) = pods.iter().find(|pod| pods::is_active(pod) && !pods::is_ready(pod)) else { return false };
        let now = self.now;
        self.change::<Pod>(&waiting.metadata.name, |pod| ready(pod, now));
        true
    }

    /// Deleted pods, or one of them, are gone.
    pub fn end_pods(&mut self, which: Option<usize>) -> bool {
        let mut ending: Vec<Pod> = self.list::<Pod>();
        ending.retain(|pod| pod.metadata.deletion_timestamp.is_some());
        if let (Some(which), false) = (which, ending.is_empty()) {
            ending = vec![ending.swap_remove(which % ending.len())];
        }
        for pod in &ending {
            self.remove(at(pod));
        }
        !ending.is_empty()
    }

    pub fn available(&self) -> i32 {
        let pods = self.list::<Pod>();
        i32::try_from(pods.iter().filter(|pod| pods::is_active(pod) && pods::is_ready(pod)).count()).expect("few")
    }

    pub fn active(&self) -> i32 {
        i32::try_from(self.list::<Pod>().iter().filter(|pod| pods::is_active(pod)).count()).expect("few")
    }

    /// `STATUS REASON` of a condition of the Deployment.
    pub fn condition(&self, kind: &str) -> String {
        let deployment = self.get::<Deployment>("d");
        let found = deployment.status.conditions.iter().find(|condition| condition.r#type == kind);
        found.map(|condition| format!("{} {}", condition.status, condition.reason)).unwrap_or_default()
    }

    fn tell(&mut self, note: Option<Note>, placeholder: &str, value: &str) {
        if let Some(note) = note {
            self.events.push(format!("{} {}", note.reason, note.message.replace(placeholder, value)));
        }
    }

    fn write(&mut self, verb: &Verb) -> Result<String, String> {
        let written = match verb {
            Verb::Create(object) => self.make(object.clone_box())?,
            Verb::Update(object) => self.replace(&**object, false)?,
            Verb::UpdateStatus(object) => self.replace(&**object, true)?,
            Verb::UpdatePart(object, _) => self.replace(&**object, false)?,
            Verb::Delete { object, .. } => {
                let at = at(&**object);
                let found = self.objects.get(&at).filter(|found| found.metadata().uid == object.metadata().uid);
                let Some(found) = found else { return Ok(at.2) };
                if at.0 != "Pod" {
                    self.remove(at.clone());
                    return Ok(at.2);
                }
                let mut dying = found.clone_box();
                let now = Time::from_unix(self.now);
                dying.metadata_mut().deletion_timestamp.get_or_insert(now);
                self.store(dying)
            }
            Verb::Tell => return Ok(String::new()),
        };
        self.view.observe(&*written);
        Ok(written.metadata().name.clone())
    }

    fn make(&mut self, mut object: Box<dyn DynObject>) -> Result<Box<dyn DynObject>, String> {
        if self.refuse_pods && object.info().kind == "Pod" {
            return Err("pods are refused".to_owned());
        }
        self.names += 1;
        let meta = object.metadata_mut();
        if meta.name.is_empty() {
            meta.name = format!("{}{}", meta.generate_name, self.names);
        }
        meta.uid = format!("uid-{}", self.names);
        meta.generation = 1;
        meta.creation_timestamp = Time::from_unix(self.now + i64::from(self.names));
        if self.objects.contains_key(&at(&*object)) {
            return Err("already exists".to_owned());
        }
        Ok(self.store(object))
    }

    fn replace(&mut self, object: &dyn DynObject, status: bool) -> Result<Box<dyn DynObject>, String> {
        let found = self.objects.get(&at(object)).ok_or("not found")?;
        if found.metadata().resource_version != object.metadata().resource_version {
            return Err("conflict".to_owned());
        }
        let mut next = object.clone_box();
        keep_other_half::<Deployment>(&mut *next, &**found, status, |next, found, status| {
            if status {
                next.spec = found.spec.clone();
                next.metadata = found.metadata.clone();
            } else {
                next.status = found.status.clone();
                next.metadata.generation = found.metadata.generation + i64::from(next.spec != found.spec);
            }
        });
        keep_other_half::<ReplicaSet>(&mut *next, &**found, status, |next, found, status| {
            if status {
                next.spec = found.spec.clone();
                next.metadata = found.metadata.clone();
            } else {
                next.status = found.status.clone();
                next.metadata.generation = found.metadata.generation + i64::from(next.spec != found.spec);
            }
        });
        Ok(self.store(next))
    }

    fn store(&mut self, mut object: Box<dyn DynObject>) -> Box<dyn DynObject> {
        self.revision += 1;
        object.metadata_mut().resource_version = self.revision.to_string();
        self.objects.insert(at(&*object), object.clone());
        self.unheard.push_back((object.clone(), false));
        object
    }

    fn remove(&mut self, at: At) {
        if let Some(mut object) = self.objects.remove(&at) {
            self.revision += 1;
            object.metadata_mut().resource_version = self.revision.to_string();
            self.unheard.push_back((object, true));
        }
    }
}

fn keep_other_half<T: Object>(
    next: &mut dyn DynObject,
    found: &dyn DynObject,
    status: bool,
    keep: impl FnOnce(&mut T, &T, bool),
) {
    if let (Some(next), Some(found)) = (next.downcast_mut::<T>(), found.downcast_ref::<T>()) {
        keep(next, found, status);
    }
}

fn object_mut<T: Object, U: Object>(object: &mut T) -> Option<&mut U> {
    object.as_any_mut().downcast_mut::<U>()
}

/// A Service `n/NAME` for pods labelled app=x.
pub fn service(name: &str) -> Service {
    let mut service = Service::default();
    service.metadata.namespace = "n".into();
    service.metadata.name = name.into();
    service.spec.selector.insert("app".into(), "x".into());
    service
}

/// The slices of a Service, by name.
pub fn slices(sim: &Sim) -> Vec<EndpointSlice> {
    sim.list::<EndpointSlice>()
}
