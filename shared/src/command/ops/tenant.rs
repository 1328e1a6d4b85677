mod create;

pub use create::TenantCreate;
