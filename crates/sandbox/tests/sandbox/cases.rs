//! What every way has to do.

use slipway_sandbox::{Exit, Sandbox};

use crate::bed::{Bed, Outcome};

/// One case.
pub struct Case {
    pub name: &'static str,
    pub check: fn(&mut Bed, &dyn Sandbox) -> Result<(), String>,
}

pub const ALL: &[Case] =
    &[Case { name: "exit codes", check: exit_codes }, Case { name: "simple", check: simple }];

fn expect(outcome: &Outcome, exit: Exit, stdout: &str) -> Result<(), String> {
    match &outcome.result {
        Ok(finished) if finished.exit == exit && outcome.stdout == stdout => Ok(()),
        Ok(finished) => Err(format!(
            "expected {exit:?} with {stdout:?}, got {:?} with {:?}, stderr {:?}",
            finished.exit, outcome.stdout, outcome.stderr
        )),
        Err(error) => Err(format!("expected {exit:?}, got: {error}; stderr {:?}", outcome.stderr)),
    }
}

fn exit_codes(bed: &mut Bed, sandbox: &dyn Sandbox) -> Result<(), String> {
    for code in [0, 1, 42, 255] {
        expect(&bed.sh(sandbox, &format!("exit {code}")), Exit::Code(code), "")?;
    }
    expect(&bed.sh(sandbox, "kill -TERM $$"), Exit::Signal(15), "")
}

fn simple(bed: &mut Bed, sandbox: &dyn Sandbox) -> Result<(), String> {
    let outcome = bed.sh(
        sandbox,
        "echo hi; mount; ls -la / /dev /proc/self/fd; id; cat /proc/self/status; cat /etc/hosts; hostname",
    );
    println!("{}{}", outcome.stdout, outcome.stderr);
    println!("{:?} {:?}", outcome.result, bed.upper());
    Ok(())
}
