//! Who may look at a staging server's apps: everyone, some, or a customer with a link.

use crate::cli::Result;
use crate::cli::output::{Output, Table};
use crate::client::Client;
use crate::model::sharing::{ShareLevel, Visibility};
use crate::wire::sharing::{GuestLinkView, NewGuestLink, RenewGuestLink, Share, SharingRequest, SharingView};
use clap::{Args, ValueEnum};
use std::process::ExitCode;

/// Arguments of `stack share`.
#[derive(Debug, Args)]
pub struct ShareArgs {
    /// Name or id
    stack: String,
    /// To whom its apps are open
    #[arg(long, value_name = "WHO")]
    open_to: Option<OpenTo>,
    /// Someone who may look
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,
    /// Someone who may also change it
    #[arg(long, value_name = "NAME")]
    change: Vec<String>,
    /// Someone who may not any more
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OpenTo {
    /// You, those it is shared with, and operators
    Private,
    /// Everyone who is signed in
    SignedIn,
    /// Anyone who has the address
    Public,
}

/// Arguments of `stack link`.
#[derive(Debug, Args)]
pub struct LinkArgs {
    /// Name or id
    stack: String,
    /// Whom the link is for: a customer without an account
    #[arg(long = "for", value_name = "NAME", required_unless_present_any = ["renew", "end"])]
    name: Option<String>,
    /// How long it is good, such as 7d [default: a week]
    #[arg(long, value_name = "LENGTH")]
    expires_in: Option<String>,
    /// Give this link another secret; the old one is worth nothing then
    #[arg(long, value_name = "ID", conflicts_with = "name")]
    renew: Option<String>,
    /// End this link
    #[arg(long, value_name = "ID", conflicts_with_all = ["name", "renew"])]
    end: Option<String>,
}

/// Shows who may look, after changing it where that was asked.
pub async fn share(client: &Client, args: ShareArgs, output: Output) -> Result {
    let at = |level: ShareLevel| move |name: String| Share { name, level };
    let with = args.with.into_iter().map(at(ShareLevel::View));
    let request = SharingRequest {
        visibility: args.open_to.map(|open| match open {
            OpenTo::Private => Visibility::Private,
            OpenTo::SignedIn => Visibility::SignedIn,
            OpenTo::Public => Visibility::Public,
        }),
        share: with.chain(args.change.into_iter().map(at(ShareLevel::Change))).collect(),
        unshare: args.without,
    };
    let sharing = if request == SharingRequest::default() {
        client.show_sharing(&args.stack).await?
    } else {
        client.change_sharing(&args.stack, &request).await?
    };
    if output.is_json() {
        output.json(&sharing);
    } else {
        print(&sharing, output);
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes, renews or ends a link for guests.
pub async fn link(client: &Client, args: LinkArgs, output: Output) -> Result {
    if let Some(id) = args.end {
        client.revoke_guest_link(&args.stack, &id).await?;
        output.result(&serde_json::json!({ "ended": id }), || format!("Ended {id}"));
        return Ok(ExitCode::SUCCESS);
    }
    let expires_in = args.expires_in;
    let link = if let Some(id) = args.renew {
        let request = RenewGuestLink { expires_in };
        client.renew_guest_link(&args.stack, &id, &request).await?
    } else {
        let name = args.name.unwrap_or_default();
        let request = NewGuestLink { name, expires_in };
        client.create_guest_link(&args.stack, &request).await?
    };
    if output.is_json() {
        output.json(&link);
    } else {
        print_link(&link, output);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(sharing: &SharingView, output: Output) {
    let open_to = match sharing.visibility {
        Visibility::Private => "the owner, those it is shared with, and operators",
        Visibility::SignedIn => "everyone who is signed in",
        Visibility::Public => "anyone who has the address",
    };
    let people: Vec<String> = sharing.people.iter().map(|p| format!("{} ({})", p.name, p.level)).collect();
    let used = sharing.last_used_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    output.fields(&[
        ("open to", open_to.to_owned()),
        ("shared with", people.join(", ")),
        ("last used", used),
    ]);
    output.line("");
    let mut table = Table::new(
        &["GUEST LINK", "FOR", "MADE BY", "GOOD UNTIL"],
        "No guest links: `greenroom stack link STACK --for NAME`",
    );
    for link in &sharing.guest_links {
        table.row([
            link.id.to_string(),
            link.name.clone(),
            link.created_by.clone(),
            link.expires_at.to_string(),
        ]);
    }
    output.table(&sharing.guest_links, &table);
}

fn print_link(link: &GuestLinkView, output: Output) {
    output.note(format!("For {} until {}, shown only now:", link.name, link.expires_at));
    for address in &link.addresses {
        output.link(&address.label, &address.url);
    }
}
