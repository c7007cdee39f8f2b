//! A policy as it is once it has its settings, as a component of its own.
//!
//! Where each decision gets a fresh instance, one that read its dial plan anew each time would spend
//! its deadline on that. So an instance is configured once, and its memory and globals become the
//! initial ones of another component, whose instances begin where `configure` ended. Their pages are
//! shared until they are written to.
//!
//! Wizer looks into a guest by way of exports that it adds; guests that it cannot look into (such as
//! those that change their tables) are configured for each instance.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Lift, Lower, TypedFunc, WasmList};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use crate::engine::Engine;
use crate::fault::LoadFault;
use crate::imports::Guest;
use crate::program::Code;

/// A component whose instances can be looked into.
pub(crate) struct Glass<'a> {
    context: ComponentContext<'a>,
    pub(crate) code: Code,
}

impl<'a> Glass<'a> {
    /// Memory that an instance needs more to be looked into: a page.
    pub(crate) const BYTES: usize = 64 << 10;

    /// Compiles `component` with what it takes to look into it. Takes as long as compiling does.
    pub(crate) fn of(engine: &Engine, component: &'a [u8]) -> Result<Glass<'a>, LoadFault> {
        let instrumented = guarded(|| Wizer::new().instrument_component(component));
        let (context, component) = instrumented.map_err(LoadFault::Compile)?;
        let code = Code::compile(engine, &component)?;
        Ok(Glass { context, code })
    }

    /// The component that begins as this instance of [`code`](Self::code) is, compiled.
    pub(crate) fn freeze(
        &self,
        engine: &Engine,
        store: &mut Store<Guest>,
        instance: wasmtime::component::Instance,
    ) -> Result<Arc<Code>, LoadFault> {
        // All of its memory crosses at once.
        store.set_hostcall_fuel(usize::MAX);
        let mut state = State {
            store,
            instance,
            failed: None,
        };
        let frozen = guarded(|| now(Wizer::new().snapshot_component(&self.context, &mut state)));
        if let Some(error) = state.failed {
            return Err(LoadFault::Compile(format!("{error:#}")));
        }
        let component = frozen.map_err(LoadFault::Compile)?;
        Code::compile(engine, &component).map(Arc::new)
    }
}

/// What `look` finds. Wizer panics on some of what it does not know, and a module must not take the
/// host down.
fn guarded<T>(look: impl FnOnce() -> wasmtime::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(look)) {
        Ok(found) => found.map_err(|error| format!("{error:#}")),
        Err(_) => Err("wizer does not know what to make of it".to_owned()),
    }
}

/// The outcome of a future that has nothing to wait for.
fn now<T>(future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(wasmtime::Error::msg("a snapshot that waits for something")),
    }
}

/// An instance that is looked into.
struct State<'a> {
    store: &'a mut Store<Guest>,
    instance: wasmtime::component::Instance,
    /// Why it could not be; what was found is of no use then.
    failed: Option<wasmtime::Error>,
}

impl State<'_> {
    fn function<R>(&mut self, name: [&str; 2]) -> wasmtime::Result<TypedFunc<(), R>>
    where
        R: ComponentNamedList + Lift,
    {
        let [interface, function] = name;
        let missing = || wasmtime::Error::msg(format!("no {interface} {function}"));
        let exports = self
            .instance
            .get_export_index(&mut *self.store, None, interface);
        let exports = exports.ok_or_else(missing)?;
        let export = (self.instance)
            .get_export_index(&mut *self.store, Some(&exports), function)
            .ok_or_else(missing)?;
        self.instance.get_typed_func(&mut *self.store, export)
    }

    fn value<T: Lift + Lower + Default + 'static>(&mut self, name: [&str; 2]) -> T {
        let function = self.function::<(T,)>(name);
        match function.and_then(|function| function.call(&mut *self.store, ())) {
            Ok((value,)) => value,
            Err(error) => {
                self.failed.get_or_insert(error);
                T::default()
            }
        }
    }

    fn bytes(&mut self, name: [&str; 2], contents: impl FnOnce(&[u8])) -> wasmtime::Result<()> {
        let function = self.function::<(WasmList<u8>,)>(name)?;
        let (list,) = function.call(&mut *self.store, ())?;
        contents(list.as_le_slice(&*self.store));
        Ok(())
    }
}

impl ComponentInstanceState for State<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        if let Err(error) = self.bytes([instance, func], contents) {
            self.failed.get_or_insert(error);
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.value([instance, func])
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.value([instance, func])
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.value::<f32>([instance, func]).to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.value::<f64>([instance, func]).to_bits()
    }
}
