/**
 * What a host must not forget: which container it owns, holds, or has given away, at which epoch. What may come in: another
 * form of durable record.
 * What must not: deciding anything.
 */
package io.gantry.actors.ledger;
