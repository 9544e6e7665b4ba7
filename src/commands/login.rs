//! Where the MySQL password comes from: a file, the environment, Secrets Manager, IAM, or a person. Never an argument.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use atrest_scanner::access::{AccessError, MysqlAuth, Password, Server, Tls};
use atrest_scanner::aws::Aws;
use atrest_scanner::mysql::MysqlError;
use secrecy::{ExposeSecret as _, SecretString};

use crate::cli::{ConnectArgs, MysqlArgs, MysqlMode, TlsMode};
use crate::exit::{Exit, ExpectedError};
use crate::terminal;

/// Environment variable that holds the MySQL password; with `_A` or `_B` behind it, the one of that side.
const PASSWORD_VARIABLE: &str = "ATREST_MYSQL_PASSWORD";

/// What is given for one of two servers only.
#[derive(Debug, Default)]
pub(crate) struct Side<'a> {
    /// `A` or `B`; `None` where there is only one server.
    pub(crate) letter: Option<char>,
    pub(crate) password_file: Option<&'a Path>,
    pub(crate) secret_id: Option<&'a str>,
    pub(crate) tls_server_name: Option<&'a str>,
}

/// How to log in to all servers of a fleet; `None` when that is switched off.
pub(crate) async fn fleet(args: &MysqlArgs, aws: &Aws) -> anyhow::Result<Option<MysqlAuth>> {
    if args.mysql == MysqlMode::Off {
        return Ok(None);
    }
    let connect = &args.connect;
    let given = given(connect, &Side::default(), Some(aws))?;
    let password = match given {
        Some(password) => password,
        None if terminal::can_ask() => {
            ask("Password of the MySQL servers' master user: ".to_owned()).await?
        }
        None => {
            return Err(none_given(
                "or --mysql off to compare attributes only".to_owned(),
            ));
        }
    };
    auth(connect, &Side::default(), password).map(Some)
}

/// How to log in to one server.
pub(crate) async fn server(
    server: &Server,
    args: &ConnectArgs,
    side: &Side<'_>,
    aws: Option<&Aws>,
) -> anyhow::Result<MysqlAuth> {
    let password = match given(args, side, aws)? {
        Some(password) => password,
        None => fallback(server, args, side, aws).await?,
    };
    auth(args, side, password)
}

/// Nothing is given: the password that RDS manages, if it is of the user to log in as, else a person is asked.
async fn fallback(
    server: &Server,
    args: &ConnectArgs,
    side: &Side<'_>,
    aws: Option<&Aws>,
) -> anyhow::Result<Password> {
    let user = server.user_of(args.mysql_user.as_deref());
    if let (Some(_), Some(aws)) = (&server.master_user_secret, aws)
        && user == server.master_username
    {
        return Ok(Password::MasterUserSecret {
            aws: aws.clone(),
            otherwise: None,
            plain: None,
        });
    }
    if terminal::can_ask() {
        let user = user.unwrap_or_default();
        return ask(format!(
            "Password of {} at {}: ",
            atrest_reports::printable(&user),
            server.name
        ))
        .await;
    }
    let or = match side.letter {
        Some(letter) => format!("({PASSWORD_VARIABLE}_{letter} for this side only)"),
        None => String::new(),
    };
    Err(none_given(or))
}

fn none_given(or: String) -> anyhow::Error {
    let hint = format!(
        "set {PASSWORD_VARIABLE}, or give --mysql-password-file, --secret-id, --master-user-secret or --iam-auth {or}"
    );
    ExpectedError::usage("no MySQL password is given", hint.trim_end())
}

/// The password as it is given: what is for one side before what is for both, arguments before the environment.
fn given(
    args: &ConnectArgs,
    side: &Side<'_>,
    aws: Option<&Aws>,
) -> anyhow::Result<Option<Password>> {
    let aws = || {
        let aws = aws.cloned();
        aws.ok_or_else(|| anyhow::anyhow!("a secret or a token was asked for without AWS"))
    };
    if args.iam_auth {
        if args.mysql_tls == TlsMode::Off {
            return Err(ExpectedError::usage(
                "--iam-auth does not go with --mysql-tls off: the token would be sent in clear text",
                "leave TLS on; give the RDS CA bundle with --ca-file",
            ));
        }
        return Ok(Some(Password::IamToken { aws: aws()? }));
    }
    if let Some(file) = side.password_file {
        return from_file(file).map(Some);
    }
    if let Some(id) = side.secret_id {
        let id = id.to_owned();
        return Ok(Some(Password::Secret { aws: aws()?, id }));
    }
    if let Some(letter) = side.letter
        && let Some(password) = from_environment(&format!("{PASSWORD_VARIABLE}_{letter}"))?
    {
        return Ok(Some(password));
    }
    if args.master_user_secret {
        // What else is given is for the instances that have no secret.
        let given = match &args.mysql_password_file {
            Some(file) => Some(from_file(file)?),
            None => from_environment(PASSWORD_VARIABLE)?,
        };
        let plain = match given {
            Some(Password::Given(password)) => Some(password),
            _ => None,
        };
        return Ok(Some(Password::MasterUserSecret {
            aws: aws()?,
            otherwise: None,
            plain,
        }));
    }
    if let Some(file) = &args.mysql_password_file {
        return from_file(file).map(Some);
    }
    if let Some(id) = args.secret_id.clone() {
        return Ok(Some(Password::Secret { aws: aws()?, id }));
    }
    from_environment(PASSWORD_VARIABLE)
}

fn from_environment(variable: &str) -> anyhow::Result<Option<Password>> {
    match std::env::var(variable) {
        Ok(password) => Ok(Some(Password::Given(SecretString::from(password)))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        // The error holds the value.
        Err(std::env::VarError::NotUnicode(_)) => Err(ExpectedError::usage(
            format!("{variable} is not UTF-8"),
            "give the password in a file",
        )),
    }
}

fn from_file(file: &Path) -> anyhow::Result<Password> {
    let unread = |error: std::io::Error| {
        ExpectedError::usage(
            format!("cannot read the password file {}: {error}", file.display()),
            "give a file that holds the password and nothing else",
        )
    };
    let mut open = std::fs::File::open(file).map_err(unread)?;
    check_privacy(file, &open.metadata().map_err(unread)?)?;
    let mut text = String::new();
    open.read_to_string(&mut text).map_err(unread)?;
    let text = SecretString::from(text);
    let password = text.expose_secret().trim_end_matches(['\r', '\n']);
    if password.contains(['\r', '\n']) {
        return Err(ExpectedError::usage(
            format!(
                "the password file {} has more than one line",
                file.display()
            ),
            "give a file that holds the password and nothing else",
        ));
    }
    Ok(Password::Given(SecretString::from(password)))
}

/// A file that everybody can read holds no secret. One that a group can read may be meant so: Kubernetes mounts secrets
/// for the group of a pod.
fn check_privacy(file: &Path, metadata: &std::fs::Metadata) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    // A pipe, as of a shell's <(…), is nobody else's.
    if !metadata.is_file() {
        return Ok(());
    }
    if mode & 0o007 != 0 {
        return Err(ExpectedError::usage(
            format!(
                "the password file {} is open to everybody on this machine (mode {mode:03o})",
                file.display()
            ),
            "chmod 600 it; if others could read it for a while, change the password",
        ));
    }
    if mode & 0o070 != 0 {
        tracing::warn!(
            "the password file {} is open to its group (mode {mode:03o})",
            file.display()
        );
    }
    Ok(())
}

/// Asks on the terminal, without showing what is typed.
async fn ask(prompt: String) -> anyhow::Result<Password> {
    let typed = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt)).await?;
    let typed = typed.map_err(|error| {
        ExpectedError::usage(
            format!("no password was typed: {error}"),
            format!("set {PASSWORD_VARIABLE}, or give a file"),
        )
    })?;
    Ok(Password::Given(SecretString::from(typed)))
}

fn auth(args: &ConnectArgs, side: &Side<'_>, password: Password) -> anyhow::Result<MysqlAuth> {
    let server_name = side
        .tls_server_name
        .map(str::to_owned)
        .or_else(|| args.tls_server_name.clone());
    let tls = match args.mysql_tls {
        TlsMode::Off => Tls::Off,
        TlsMode::Verify => Tls::Verify {
            ca_file: args.ca_file.as_deref().map(ca_file).transpose()?,
            server_name,
        },
    };
    Ok(MysqlAuth {
        user: args.mysql_user.clone(),
        password,
        tls,
        connect_timeout: args.connect_timeout,
        statement_timeout: args.statement_timeout,
    })
}

/// A file of roots: without this look, a typo in its name would be told as a server that cannot be reached.
fn ca_file(path: &Path) -> anyhow::Result<PathBuf> {
    let wrong = |why: String| {
        ExpectedError::usage(
            format!("the CA file {} {why}", path.display()),
            "give PEM certificates, such as the RDS bundle https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
        )
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if !bytes.windows(begin.len()).any(|part| part == begin) {
        return Err(wrong("holds no PEM certificate".to_owned()));
    }
    Ok(path.to_owned())
}

/// A server that could not be asked: refused logins and wrong arguments are the user's to mend, the rest may pass.
pub(crate) fn failed(name: &str, error: &AccessError) -> anyhow::Error {
    let exit = match error {
        AccessError::NoUser(_)
        | AccessError::NoMasterUserSecret(_)
        | AccessError::SecretOfAnotherUser { .. }
        | AccessError::Token(_)
        | AccessError::Mysql(
            MysqlError::LoginRefused { .. }
            | MysqlError::TlsRequired { .. }
            | MysqlError::CleartextWithoutTls { .. }
            | MysqlError::ReadOnly { .. },
        ) => Exit::Usage,
        AccessError::Secret(_) => match error.aws() {
            Some(call) => return ExpectedError::aws(call),
            None => Exit::Usage,
        },
        AccessError::NoEndpoint(_) | AccessError::Mysql(_) => Exit::Incomplete,
    };
    let text = error.to_string();
    let message = if text.contains(name) {
        text
    } else {
        format!("{name}: {text}")
    };
    ExpectedError::of(exit, message, error.hint())
}
