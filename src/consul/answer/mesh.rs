//! Converts the certificates of the mesh.

use crate::{
    consul::{CaRootList, LeafCert, RootCert},
    registry::{CaLeaf, CaRoot, CaRoots},
};

pub(in crate::consul) fn roots(roots: CaRootList) -> CaRoots {
    let CaRootList { active_root_id, trust_domain, roots } = roots;
    let root = |RootCert { id, name, root_cert, intermediate_certs, active }| CaRoot {
        id,
        name,
        root_cert,
        intermediate_certs,
        active,
    };
    CaRoots { active_root_id, trust_domain, roots: roots.into_iter().map(root).collect() }
}

pub(in crate::consul) fn leaf(leaf: LeafCert) -> CaLeaf {
    let LeafCert { serial_number, cert_pem, private_key_pem, service, service_uri, valid_after, valid_before } = leaf;
    CaLeaf { serial_number, cert_pem, private_key_pem, service, service_uri, valid_after, valid_before }
}
