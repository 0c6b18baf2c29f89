//! Words of submissions.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::words::word;
use crate::domain::pricing::{Latency, ServiceTier};
use crate::domain::usage::CallStatus;

/// Outcome of the call to Bedrock.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum CallStatusWord {
    /// The call succeeded.
    Ok,
    /// The call failed. Tokens are charged as given, because AWS bills partial output.
    Error,
}

impl<'de> Deserialize<'de> for CallStatusWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, &[("OK", Self::Ok), ("ERROR", Self::Error)])
    }
}

/// Processing tier, as in the response's `serviceTier.type`.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum ServiceTierWord {
    /// On demand.
    Default,
    /// Faster, dearer.
    Priority,
    /// Slower, cheaper.
    Flex,
    /// Batch inference.
    Batch,
}

impl<'de> Deserialize<'de> for ServiceTierWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(
            deserializer,
            &[("default", Self::Default), ("priority", Self::Priority), ("flex", Self::Flex), ("batch", Self::Batch)],
        )
    }
}

/// Latency profile, as in the response's `performanceConfig.latency`.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum LatencyWord {
    /// The usual one.
    Standard,
    /// Latency-optimized inference.
    Optimized,
}

impl<'de> Deserialize<'de> for LatencyWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, &[("standard", Self::Standard), ("optimized", Self::Optimized)])
    }
}

impl From<CallStatusWord> for CallStatus {
    fn from(word: CallStatusWord) -> Self {
        match word {
            CallStatusWord::Ok => Self::Ok,
            CallStatusWord::Error => Self::Error,
        }
    }
}

impl From<ServiceTierWord> for ServiceTier {
    fn from(word: ServiceTierWord) -> Self {
        match word {
            ServiceTierWord::Default => Self::Default,
            ServiceTierWord::Priority => Self::Priority,
            ServiceTierWord::Flex => Self::Flex,
            ServiceTierWord::Batch => Self::Batch,
        }
    }
}

impl From<LatencyWord> for Latency {
    fn from(word: LatencyWord) -> Self {
        match word {
            LatencyWord::Standard => Self::Standard,
            LatencyWord::Optimized => Self::Optimized,
        }
    }
}
