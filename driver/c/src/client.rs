//! The host as NetDMA's client: it allocates the provider's channels, copies patterns through them, and compares.

use netdma::contract::ProviderAttributes;
use netdma::irql::AtPassive;

use crate::client_channel::User;
use crate::host::Host;
use crate::host_types::NETDMA_HOST_RESULT;

/// The longest chain: the one before must stay untouched while the next one is written.
pub(crate) const DESCRIPTORS_MAX: u32 = 31;

/// What to do with each channel.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) channels: u32,
    pub(crate) rounds: u32,
    pub(crate) descriptors: u32,
    pub(crate) bytes: u32,
}

/// Runs `plan` on the first started provider of `host`. What was done so far is in `result`, also after an error.
pub(crate) fn run(
    host: &Host,
    plan: Plan,
    result: &mut NETDMA_HOST_RESULT,
    level: &AtPassive,
) -> Result<(), String> {
    let started = host.interface.providers().into_iter().next();
    let (id, characteristics, attributes) = started.ok_or("no provider is started (ND-F4)")?;
    check(plan, &attributes)?;
    let before = counts(host);
    let count = plan.channels.min(attributes.dma_channel_count);
    let mut users = Vec::new();
    let mut done = Ok(());
    for number in 0..count {
        match User::allocate(host, id, &characteristics, plan, number, level) {
            Ok(user) => users.push(user),
            Err(error) => {
                done = Err(format!("channel {number}: {error}"));
                break;
            }
        }
    }
    if done.is_ok() {
        done = work(&mut users, plan, result, level);
    }
    for user in users {
        let freed = user.free(result, level);
        done = done.and(freed);
    }
    let after = counts(host);
    result.DpcsRun = after.0 - before.0;
    result.DpcsQueued = after.1 - before.1;
    result.DpcsRefused = after.2 - before.2;
    done
}

fn check(plan: Plan, attributes: &ProviderAttributes) -> Result<(), String> {
    let max = attributes.maximum_transfer_size;
    if !(1..=DESCRIPTORS_MAX).contains(&plan.descriptors) {
        return Err(format!("{} descriptors in a chain: 1 to {DESCRIPTORS_MAX}", plan.descriptors));
    }
    if !(1..=max).contains(&plan.bytes) {
        return Err(format!("{} bytes in a descriptor: 1 to {max}, the provider's largest", plan.bytes));
    }
    if plan.channels == 0 || plan.rounds == 0 {
        return Err("a run without channels or rounds".into());
    }
    Ok(())
}

/// All channels at once in each step, so that their interrupts meet.
fn work(
    users: &mut [User],
    plan: Plan,
    result: &mut NETDMA_HOST_RESULT,
    level: &AtPassive,
) -> Result<(), String> {
    for _ in 0..plan.rounds {
        users.iter_mut().try_for_each(|user| user.copy(level))?;
        users.iter_mut().try_for_each(|user| user.finish(result, level))?;
    }
    for user in users {
        user.suspend_and_resume(result, level)?;
        user.abort_and_start(result, level)?;
        user.reset_and_start(result, level)?;
    }
    Ok(())
}

/// DPCs run, queued and refused on all processors.
fn counts(host: &Host) -> (u64, u64, u64) {
    host.processors.counts().iter().fold((0, 0, 0), |(run, queued, refused), counts| {
        (run + counts.dpcs_run, queued + counts.queued, refused + counts.refused)
    })
}
