//! What a parameter group says: what the user set, what the system sets, and the engine's own defaults.

use super::{Kind, write};
use crate::rds::catalog;
use crate::rds::error::ApiError;
use crate::rds::page::{Filters, page};
use crate::rds::state::ParameterGroup;
use crate::rds::xml::Xml;
use crate::rds::{Answer, Call, result};

/// `DescribeDBParameterGroups` and `DescribeDBClusterParameterGroups`.
pub(crate) fn describe(call: &mut Call<'_>, kind: Kind) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params
        .text(&format!("{}Name", kind.word()))
        .map(|name| name.to_ascii_lowercase());
    let found: Vec<&ParameterGroup> = kind
        .groups(call.region())
        .values()
        .filter(|group| wanted.as_ref().is_none_or(|name| *name == group.name))
        .collect();
    if let (Some(name), true) = (&wanted, found.is_empty()) {
        return Err(kind.missing(name));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            &format!("{}s", kind.word()),
            kind.word(),
            page.items,
            |xml, group| write(xml, scope, kind, group),
        );
        xml.optional("Marker", page.marker);
    })
}

struct Row<'a> {
    name: &'a str,
    value: Option<&'a str>,
    source: &'a str,
    is_static: bool,
    data_type: &'a str,
    is_modifiable: bool,
    deferred: bool,
}

impl Row<'_> {
    fn write(&self, xml: &mut Xml) {
        xml.value("ParameterName", self.name);
        xml.optional("ParameterValue", self.value);
        xml.value("Source", self.source);
        xml.value(
            "ApplyType",
            if self.is_static { "static" } else { "dynamic" },
        );
        xml.value("DataType", self.data_type);
        xml.value("IsModifiable", self.is_modifiable);
        xml.value(
            "ApplyMethod",
            if self.is_static || self.deferred || self.source != "user" {
                "pending-reboot"
            } else {
                "immediate"
            },
        );
    }
}

fn rows(group: &ParameterGroup) -> Vec<Row<'_>> {
    let known = catalog::parameters(&group.family).iter().map(|parameter| {
        let user = group.user.get(parameter.name);
        Row {
            name: parameter.name,
            value: user.map(String::as_str).or(parameter.value),
            source: if user.is_some() {
                "user"
            } else {
                parameter.source
            },
            is_static: parameter.is_static,
            data_type: parameter.data_type,
            is_modifiable: parameter.is_modifiable,
            deferred: group.deferred.contains(parameter.name),
        }
    });
    let others = group
        .user
        .iter()
        .filter(|(name, _)| catalog::known_parameter(&group.family, name).is_none())
        .map(|(name, value)| Row {
            name,
            value: Some(value),
            source: "user",
            is_static: false,
            data_type: "string",
            is_modifiable: true,
            deferred: group.deferred.contains(name),
        });
    let mut rows: Vec<Row<'_>> = known.chain(others).collect();
    rows.sort_by_key(|row| row.name);
    rows
}

/// `DescribeDBParameters` and `DescribeDBClusterParameters`.
pub(crate) fn describe_parameters(call: &mut Call<'_>, kind: Kind) -> Answer {
    let filters = Filters::read(call.params, &["parameter-name"])?;
    let (params, limit) = (call.params, call.world.knobs.page_limit);
    let name = params
        .required(&format!("{}Name", kind.word()))?
        .to_ascii_lowercase();
    let source = params.text("Source");
    if source
        .as_deref()
        .is_some_and(|source| !["user", "system", "engine-default"].contains(&source))
    {
        return Err(ApiError::value(
            "Source must be one of user, system, engine-default.",
        ));
    }
    let group = kind
        .groups(call.region())
        .get(&name)
        .ok_or_else(|| kind.missing(&name))?;
    let rows: Vec<Row<'_>> = rows(group)
        .into_iter()
        .filter(|row| {
            source.as_deref().is_none_or(|source| source == row.source)
                && filters.admits("parameter-name", &[row.name])
        })
        .collect();
    let page = page(params, rows, 100, limit)?;
    result(|xml| {
        xml.list("Parameters", "Parameter", page.items, |xml, row| {
            row.write(xml);
        });
        xml.optional("Marker", page.marker);
    })
}

/// `DescribeEngineDefaultParameters` and `DescribeEngineDefaultClusterParameters`: a family as nobody has
/// changed it.
pub(crate) fn describe_defaults(call: &mut Call<'_>, kind: Kind) -> Answer {
    let filters = Filters::read(call.params, &["parameter-name"])?;
    let (params, limit) = (call.params, call.world.knobs.page_limit);
    let family = params.required("DBParameterGroupFamily")?;
    let group = kind
        .groups(call.region())
        .get(&format!("default.{family}"))
        .ok_or_else(|| {
            ApiError::value(format!(
                "ParameterGroupFamily {family} is not a valid parameter group family"
            ))
        })?;
    let rows: Vec<Row<'_>> = rows(group)
        .into_iter()
        .filter(|row| filters.admits("parameter-name", &[row.name]))
        .collect();
    let page = page(params, rows, 100, limit)?;
    result(|xml| {
        xml.element("EngineDefaults", |xml| {
            xml.value("DBParameterGroupFamily", &family);
            xml.optional("Marker", page.marker.as_ref());
            xml.list("Parameters", "Parameter", page.items, |xml, row| {
                row.write(xml);
            });
        });
    })
}
