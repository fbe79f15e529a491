import { z } from "zod";
import { day } from "../_kit/read_request.ts";
import {
  amount,
  count,
  country,
  currency,
  email,
  maybe,
  moment,
  phone,
  reference,
  resource,
  text,
  texts,
  unique,
} from "./resource.ts";

const SOMEBODY = "00000000-0000-4000-8000-000000000001";

/** Everything that the CRM keeps, by the name in the path and of the table. */
export const resources = {
  agents: resource({
    one: "an agent",
    fields: {
      name: text(),
      email: maybe(email),
      phone: maybe(phone),
      commissionBasisPoints: count(0, 10_000).default(0),
    },
    filters: ["name", "email"],
    examples: [
      { name: "Fogg & Sons", commissionBasisPoints: 750 },
      { name: "Passepartout", email: "jean@fogg.example" },
    ],
  }),
  bookings: resource({
    one: "a booking",
    fields: {
      title: text(),
      clientId: reference("clients"),
      agentId: maybe(reference("agents")),
      startsOn: day,
      endsOn: day,
      travellers: count(1, 1000),
      totalMinor: amount,
      currency,
      status: z.enum(["draft", "confirmed", "completed", "cancelled"])
        .default("draft"),
    },
    filters: ["status", "clientId", "agentId", "startsOn"],
    rules:
      "endsOn is not before startsOn. draft → confirmed → completed; draft or confirmed → cancelled",
    examples: [
      {
        title: "Around the world",
        clientId: SOMEBODY,
        startsOn: "2027-10-02",
        endsOn: "2027-12-20",
        travellers: 2,
        totalMinor: 2_000_000,
        currency: "GBP",
      },
      {
        title: "Suez and back",
        clientId: SOMEBODY,
        startsOn: "2027-10-09",
        endsOn: "2027-10-20",
        travellers: 1,
        totalMinor: 40_000,
        currency: "GBP",
      },
    ],
  }),
  clients: resource({
    one: "a client",
    fields: {
      name: text(),
      email: maybe(email),
      phone: maybe(phone),
      country: maybe(country),
      notes: maybe(text(2000)),
    },
    filters: ["name", "email", "country"],
    examples: [
      { name: "Phileas Fogg", email: "fogg@reform.example", country: "GB" },
      { name: "Aouda", country: "IN" },
    ],
  }),
  daily_tours: resource({
    one: "a daily tour",
    fields: {
      name: text(),
      takesPlaceOn: day,
      bookingId: maybe(reference("bookings")),
      guideId: maybe(reference("guides")),
      vehicleId: maybe(reference("vehicles")),
      places: count(1, 1000),
      priceMinor: amount,
      currency,
    },
    filters: ["takesPlaceOn", "bookingId", "guideId", "vehicleId"],
    examples: [
      {
        name: "Lisbon on foot",
        takesPlaceOn: "2027-05-01",
        places: 12,
        priceMinor: 3_500,
        currency: "EUR",
      },
      {
        name: "Sintra by car",
        takesPlaceOn: "2027-05-02",
        places: 3,
        priceMinor: 9_900,
        currency: "EUR",
      },
    ],
  }),
  entrance_fees: resource({
    one: "an entrance fee",
    fields: {
      name: text(),
      city: text(),
      adultMinor: amount,
      childMinor: amount.default(0),
      currency,
      validFrom: maybe(day),
      validUntil: maybe(day),
    },
    filters: ["city", "name"],
    rules:
      "validUntil is not before validFrom; childMinor is at most adultMinor",
    examples: [
      { name: "Castle", city: "Lisbon", adultMinor: 1_500, currency: "EUR" },
      {
        name: "Tower",
        city: "Lisbon",
        adultMinor: 800,
        childMinor: 400,
        currency: "EUR",
      },
    ],
  }),
  extra_expenses: resource({
    one: "an extra expense",
    fields: {
      description: text(),
      amountMinor: amount,
      currency,
      spentOn: day,
      bookingId: maybe(reference("bookings")),
    },
    filters: ["bookingId", "spentOn"],
    examples: [
      {
        description: "An elephant",
        amountMinor: 200_000,
        currency: "GBP",
        spentOn: "2027-10-23",
      },
      {
        description: "Bail",
        amountMinor: 200_100,
        currency: "GBP",
        spentOn: "2027-10-25",
      },
    ],
  }),
  guides: resource({
    one: "a guide",
    fields: {
      name: text(),
      email: maybe(email),
      phone: maybe(phone),
      languages: texts.default([]),
      dailyRateMinor: amount,
      currency,
    },
    filters: ["name", "email"],
    examples: [
      {
        name: "Parsee",
        languages: ["en", "hi"],
        dailyRateMinor: 12_000,
        currency: "INR",
      },
      { name: "Mudge", dailyRateMinor: 15_000, currency: "USD" },
    ],
  }),
  hotels: resource({
    one: "a hotel",
    fields: {
      name: text(),
      city: text(),
      country: maybe(country),
      stars: maybe(count(1, 5)),
      providerId: maybe(reference("providers")),
      phone: maybe(phone),
    },
    filters: ["city", "country", "providerId"],
    examples: [
      { name: "Club Hotel", city: "Hong Kong", country: "HK", stars: 4 },
      { name: "International", city: "San Francisco" },
    ],
  }),
  invoices_payable: resource({
    one: "a payable invoice",
    fields: {
      number: unique(text(50)),
      providerId: reference("providers"),
      bookingId: maybe(reference("bookings")),
      amountMinor: amount,
      paidMinor: amount.default(0),
      currency,
      issuedOn: day,
      dueOn: day,
      status: z.enum(["received", "approved", "paid", "rejected"])
        .default("received"),
    },
    filters: ["status", "number", "providerId", "bookingId", "dueOn"],
    // Money goes out for it.
    enforcement: "required",
    rules:
      "dueOn is not before issuedOn; paidMinor is at most amountMinor, and all of it where the status is paid; a provider's number is there once, unless rejected; received → approved → paid, received or approved → rejected; number, providerId, amountMinor and currency change while it is received; an approved one is not archived",
    examples: [
      {
        number: "HK-118",
        providerId: SOMEBODY,
        amountMinor: 55_000,
        currency: "HKD",
        issuedOn: "2027-11-06",
        dueOn: "2027-12-06",
      },
      {
        number: "HK-119",
        providerId: SOMEBODY,
        amountMinor: 7_000,
        currency: "HKD",
        issuedOn: "2027-11-07",
        dueOn: "2027-12-07",
      },
    ],
  }),
  invoices_receivable: resource({
    one: "a receivable invoice",
    fields: {
      number: unique(text(50)),
      clientId: reference("clients"),
      bookingId: maybe(reference("bookings")),
      amountMinor: amount,
      paidMinor: amount.default(0),
      currency,
      issuedOn: day,
      dueOn: day,
      status: z.enum(["draft", "issued", "paid", "void"]).default("draft"),
    },
    filters: ["status", "number", "clientId", "bookingId", "dueOn"],
    enforcement: "required",
    rules:
      "number is there once, for ever; dueOn is not before issuedOn; paidMinor is at most amountMinor, and all of it where the status is paid; draft → issued → paid, draft or issued → void; number, clientId, amountMinor and currency change while it is a draft; an issued one is not archived",
    examples: [
      {
        number: "2027-0001",
        clientId: SOMEBODY,
        amountMinor: 2_000_000,
        currency: "GBP",
        issuedOn: "2027-10-02",
        dueOn: "2027-12-21",
      },
      {
        number: "2027-0002",
        clientId: SOMEBODY,
        amountMinor: 500,
        currency: "GBP",
        issuedOn: "2027-10-03",
        dueOn: "2027-12-21",
      },
    ],
  }),
  providers: resource({
    one: "a provider",
    fields: {
      name: text(),
      email: maybe(email),
      phone: maybe(phone),
      taxNumber: maybe(unique(text(50))),
    },
    filters: ["name", "taxNumber"],
    rules: "taxNumber is there once among those in use",
    examples: [
      { name: "Peninsular Company", taxNumber: "GB-1840" },
      { name: "Great Peninsula Railway" },
    ],
  }),
  restaurants: resource({
    one: "a restaurant",
    fields: {
      name: text(),
      city: text(),
      country: maybe(country),
      cuisine: maybe(text(100)),
      seats: maybe(count(1, 10_000)),
      phone: maybe(phone),
    },
    filters: ["city", "country", "cuisine"],
    examples: [
      { name: "Reform Club", city: "London", country: "GB", seats: 80 },
      { name: "Steamer", city: "Yokohama", cuisine: "Japanese" },
    ],
  }),
  roles: resource({
    one: "a role",
    fields: { name: unique(text(100)), permissions: texts.default([]) },
    kept: { isSystem: z.boolean() },
    filters: ["name"],
    rules:
      "name is there once among those in use; the system's own roles are neither changed nor archived",
    examples: [
      { name: "Night desk", permissions: ["read"] },
      { name: "Accountant", permissions: ["read", "write"] },
    ],
  }),
  transfers: resource({
    one: "a transfer",
    fields: {
      fromPlace: text(),
      toPlace: text(),
      departsAt: moment,
      passengers: count(1, 1000),
      bookingId: maybe(reference("bookings")),
      vehicleId: maybe(reference("vehicles")),
    },
    filters: ["bookingId", "vehicleId"],
    examples: [
      {
        fromPlace: "Charing Cross",
        toPlace: "Dover",
        departsAt: "2027-10-02T20:45:00Z",
        passengers: 2,
      },
      {
        fromPlace: "Brindisi",
        toPlace: "Suez",
        departsAt: "2027-10-05T17:00:00+01:00",
        passengers: 2,
      },
    ],
  }),
  users: resource({
    one: "a user",
    fields: {
      fullName: text(),
      accountId: maybe(z.guid()),
      email: maybe(email),
      phone: maybe(phone),
      roleId: maybe(reference("roles")),
    },
    filters: ["accountId", "email", "roleId"],
    rules:
      "accountId is the account of a member of the organisation, without one the user's own, and has one profile",
    examples: [
      { fullName: "Detective Fix", email: "fix@yard.example" },
      { fullName: "Sir Francis Cromarty" },
    ],
  }),
  vehicles: resource({
    one: "a vehicle",
    fields: {
      plate: unique(text(20)),
      model: text(),
      seats: count(1, 200),
      providerId: maybe(reference("providers")),
    },
    filters: ["plate", "providerId"],
    rules: "plate is there once among those in use",
    examples: [
      { plate: "AA-00-01", model: "Sledge with a sail", seats: 5 },
      { plate: "AA-00-02", model: "Elephant", seats: 4 },
    ],
  }),
};

/** The name of a resource. */
export type ResourceName = keyof typeof resources;
