/** The tables of the ledger's database. */
import type { DatabaseSync } from "node:sqlite";
import { AnsweredKeys } from "./answered";
import { CallbackRows } from "./callbacks";
import { Counters } from "./counters";
import { Grants } from "./grants";
import { MainImageRows } from "./main-images";
import { ManagedRows } from "./managed";
import { OperationRows } from "./operations";
import { Outbox } from "./outbox";
import { SetupRows } from "./setups";
import { TokenRecords } from "./tokens";
import { VolumeRows } from "./volumes";

/** A new table needs a migration, a module, and a line here. */
export function openTables(db: DatabaseSync) {
  return {
    grants: new Grants(db),
    answered: new AnsweredKeys(db),
    tokens: new TokenRecords(db),
    operations: new OperationRows(db),
    callbacks: new CallbackRows(db),
    managed: new ManagedRows(db),
    volumes: new VolumeRows(db),
    setups: new SetupRows(db),
    mainImages: new MainImageRows(db),
    outbox: new Outbox(db),
    counters: new Counters(db),
  };
}

export type Tables = ReturnType<typeof openTables>;

/** One row for one of the tables that turns write: the whole row each time. */
export type Put = {
  [Name in keyof Tables]: Tables[Name] extends { put(row: infer Row): void }
    ? { table: Name; row: Row }
    : never;
}[keyof Tables];

export type TableName = Put["table"];
export type RowOf<Name extends TableName> = Extract<Put, { table: Name }>["row"];

export type { Answered } from "./answered";
export type { CallbackRow } from "./callbacks";
export type { MainImageRow } from "./main-images";
export type { ManagedRow } from "./managed";
export type { OperationRow } from "./operations";
export type { OutboxLine } from "./outbox";
export type { SetupRow } from "./setups";
export type { StoredToken } from "./tokens";
export type { VolumeRow } from "./volumes";
