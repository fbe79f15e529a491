// Generated from supabase/migrations by `deno task types`.
export type Json = string | number | boolean | null | {
  [key: string]: Json | undefined;
} | Json[];

export type Database = {
  "public": {
    Tables: {
      "businesses": {
        Row: {
          "created_at": string;
          "currency": string;
          "id": string;
          "name": string;
          "time_zone": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "currency": string;
          "id"?: string;
          "name": string;
          "time_zone"?: string;
        };
        Update: {
          "created_at"?: string;
          "currency"?: string;
          "id"?: string;
          "name"?: string;
          "time_zone"?: string;
        };
        Relationships: [];
      };
      "credit_balances": {
        Row: {
          "balance": number;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "balance"?: number;
          "user_id": string;
        };
        Update: {
          "balance"?: number;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "credit_entries": {
        Row: {
          "amount": number;
          "created_at": string;
          "event_id": string | null;
          "id": string;
          "kind": string;
          "reason": string;
          "request_id": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "amount": number;
          "created_at"?: string;
          "event_id"?: string | null;
          "id"?: string;
          "kind": string;
          "reason": string;
          "request_id": string;
          "user_id": string;
        };
        Update: {
          "amount"?: number;
          "created_at"?: string;
          "event_id"?: string | null;
          "id"?: string;
          "kind"?: string;
          "reason"?: string;
          "request_id"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "crm_agents": {
        Row: {
          "archived_at": string | null;
          "commission_basis_points": number;
          "created_at": string;
          "email": string | null;
          "id": string;
          "name": string;
          "organization_id": string | null;
          "owner_id": string;
          "phone": string | null;
          "request_id": string;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "commission_basis_points"?: number;
          "created_at"?: string;
          "email"?: string | null;
          "id"?: string;
          "name": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "commission_basis_points"?: number;
          "created_at"?: string;
          "email"?: string | null;
          "id"?: string;
          "name"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_agents_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_audit": {
        Row: {
          "action": string;
          "changed_at": string;
          "changed_by": string | null;
          "changes": NonNullable<Json>;
          "http_method": string | null;
          "id": number;
          "idempotency_key": string | null;
          "organization_id": string | null;
          "owner_id": string;
          "request_id": string | null;
          "resource": string;
          "route": string | null;
          "row_id": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "action": string;
          "changed_at"?: string;
          "changed_by"?: string | null;
          "changes": NonNullable<Json>;
          "http_method"?: string | null;
          "id"?: never;
          "idempotency_key"?: string | null;
          "organization_id"?: string | null;
          "owner_id"?: never;
          "request_id"?: string | null;
          "resource": string;
          "route"?: string | null;
          "row_id": string;
          "user_id"?: string | null;
          "version": number;
        };
        Update: {
          "action"?: string;
          "changed_at"?: string;
          "changed_by"?: string | null;
          "changes"?: NonNullable<Json>;
          "http_method"?: string | null;
          "id"?: never;
          "idempotency_key"?: string | null;
          "organization_id"?: string | null;
          "owner_id"?: never;
          "request_id"?: string | null;
          "resource"?: string;
          "route"?: string | null;
          "row_id"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_audit_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_bookings": {
        Row: {
          "agent_id": string | null;
          "archived_at": string | null;
          "client_id": string;
          "created_at": string;
          "currency": string;
          "ends_on": string;
          "id": string;
          "organization_id": string | null;
          "owner_id": string;
          "request_id": string;
          "starts_on": string;
          "status": string;
          "title": string;
          "total_minor": number;
          "travellers": number;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "agent_id"?: string | null;
          "archived_at"?: string | null;
          "client_id": string;
          "created_at"?: string;
          "currency": string;
          "ends_on": string;
          "id"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "request_id"?: string;
          "starts_on": string;
          "status"?: string;
          "title": string;
          "total_minor": number;
          "travellers": number;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "agent_id"?: string | null;
          "archived_at"?: string | null;
          "client_id"?: string;
          "created_at"?: string;
          "currency"?: string;
          "ends_on"?: string;
          "id"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "request_id"?: string;
          "starts_on"?: string;
          "status"?: string;
          "title"?: string;
          "total_minor"?: number;
          "travellers"?: number;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_bookings_agent_id_fkey";
            columns: ["owner_id", "agent_id"];
            isOneToOne: false;
            referencedRelation: "crm_agents";
            referencedColumns: ["owner_id", "id"];
          },
          {
            foreignKeyName: "crm_bookings_client_id_fkey";
            columns: ["owner_id", "client_id"];
            isOneToOne: false;
            referencedRelation: "crm_clients";
            referencedColumns: ["owner_id", "id"];
          },
          {
            foreignKeyName: "crm_bookings_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_clients": {
        Row: {
          "archived_at": string | null;
          "country": string | null;
          "created_at": string;
          "email": string | null;
          "id": string;
          "name": string;
          "notes": string | null;
          "organization_id": string | null;
          "owner_id": string;
          "phone": string | null;
          "request_id": string;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "country"?: string | null;
          "created_at"?: string;
          "email"?: string | null;
          "id"?: string;
          "name": string;
          "notes"?: string | null;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "country"?: string | null;
          "created_at"?: string;
          "email"?: string | null;
          "id"?: string;
          "name"?: string;
          "notes"?: string | null;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_clients_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_daily_tours": {
        Row: {
          "archived_at": string | null;
          "booking_id": string | null;
          "created_at": string;
          "currency": string;
          "guide_id": string | null;
          "id": string;
          "name": string;
          "organization_id": string | null;
          "owner_id": string;
          "places": number;
          "price_minor": number;
          "request_id": string;
          "takes_place_on": string;
          "updated_at": string;
          "user_id": string | null;
          "vehicle_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "created_at"?: string;
          "currency": string;
          "guide_id"?: string | null;
          "id"?: string;
          "name": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "places": number;
          "price_minor": number;
          "request_id"?: string;
          "takes_place_on": string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "vehicle_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "created_at"?: string;
          "currency"?: string;
          "guide_id"?: string | null;
          "id"?: string;
          "name"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "places"?: number;
          "price_minor"?: number;
          "request_id"?: string;
          "takes_place_on"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "vehicle_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_daily_tours_booking_id_fkey";
            columns: ["owner_id", "booking_id"];
            isOneToOne: false;
            referencedRelation: "crm_bookings";
            referencedColumns: ["owner_id", "id"];
          },
          {
            foreignKeyName: "crm_daily_tours_guide_id_fkey";
            columns: ["owner_id", "guide_id"];
            isOneToOne: false;
            referencedRelation: "crm_guides";
            referencedColumns: ["owner_id", "id"];
          },
          {
            foreignKeyName: "crm_daily_tours_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "crm_daily_tours_vehicle_id_fkey";
            columns: ["owner_id", "vehicle_id"];
            isOneToOne: false;
            referencedRelation: "crm_vehicles";
            referencedColumns: ["owner_id", "id"];
          },
        ];
      };
      "crm_entrance_fees": {
        Row: {
          "adult_minor": number;
          "archived_at": string | null;
          "child_minor": number;
          "city": string;
          "created_at": string;
          "currency": string;
          "id": string;
          "name": string;
          "organization_id": string | null;
          "owner_id": string;
          "request_id": string;
          "updated_at": string;
          "user_id": string | null;
          "valid_from": string | null;
          "valid_until": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "adult_minor": number;
          "archived_at"?: string | null;
          "child_minor"?: number;
          "city": string;
          "created_at"?: string;
          "currency": string;
          "id"?: string;
          "name": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "valid_from"?: string | null;
          "valid_until"?: string | null;
          "version"?: number;
        };
        Update: {
          "adult_minor"?: number;
          "archived_at"?: string | null;
          "child_minor"?: number;
          "city"?: string;
          "created_at"?: string;
          "currency"?: string;
          "id"?: string;
          "name"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "valid_from"?: string | null;
          "valid_until"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_entrance_fees_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_extra_expenses": {
        Row: {
          "amount_minor": number;
          "archived_at": string | null;
          "booking_id": string | null;
          "created_at": string;
          "currency": string;
          "description": string;
          "id": string;
          "organization_id": string | null;
          "owner_id": string;
          "request_id": string;
          "spent_on": string;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "amount_minor": number;
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "created_at"?: string;
          "currency": string;
          "description": string;
          "id"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "request_id"?: string;
          "spent_on": string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "amount_minor"?: number;
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "created_at"?: string;
          "currency"?: string;
          "description"?: string;
          "id"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "request_id"?: string;
          "spent_on"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_extra_expenses_booking_id_fkey";
            columns: ["owner_id", "booking_id"];
            isOneToOne: false;
            referencedRelation: "crm_bookings";
            referencedColumns: ["owner_id", "id"];
          },
          {
            foreignKeyName: "crm_extra_expenses_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_guides": {
        Row: {
          "archived_at": string | null;
          "created_at": string;
          "currency": string;
          "daily_rate_minor": number;
          "email": string | null;
          "id": string;
          "languages": (string)[];
          "name": string;
          "organization_id": string | null;
          "owner_id": string;
          "phone": string | null;
          "request_id": string;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "currency": string;
          "daily_rate_minor": number;
          "email"?: string | null;
          "id"?: string;
          "languages"?: (string)[];
          "name": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "currency"?: string;
          "daily_rate_minor"?: number;
          "email"?: string | null;
          "id"?: string;
          "languages"?: (string)[];
          "name"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_guides_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_hotels": {
        Row: {
          "archived_at": string | null;
          "city": string;
          "country": string | null;
          "created_at": string;
          "id": string;
          "name": string;
          "organization_id": string | null;
          "owner_id": string;
          "phone": string | null;
          "provider_id": string | null;
          "request_id": string;
          "stars": number | null;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "city": string;
          "country"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "name": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "provider_id"?: string | null;
          "request_id"?: string;
          "stars"?: number | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "city"?: string;
          "country"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "name"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "provider_id"?: string | null;
          "request_id"?: string;
          "stars"?: number | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_hotels_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "crm_hotels_provider_id_fkey";
            columns: ["owner_id", "provider_id"];
            isOneToOne: false;
            referencedRelation: "crm_providers";
            referencedColumns: ["owner_id", "id"];
          },
        ];
      };
      "crm_invoices_payable": {
        Row: {
          "amount_minor": number;
          "archived_at": string | null;
          "booking_id": string | null;
          "created_at": string;
          "currency": string;
          "due_on": string;
          "id": string;
          "issued_on": string;
          "number": string;
          "organization_id": string | null;
          "owner_id": string;
          "paid_minor": number;
          "provider_id": string;
          "request_id": string;
          "status": string;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "amount_minor": number;
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "created_at"?: string;
          "currency": string;
          "due_on": string;
          "id"?: string;
          "issued_on": string;
          "number": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "paid_minor"?: number;
          "provider_id": string;
          "request_id"?: string;
          "status"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "amount_minor"?: number;
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "created_at"?: string;
          "currency"?: string;
          "due_on"?: string;
          "id"?: string;
          "issued_on"?: string;
          "number"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "paid_minor"?: number;
          "provider_id"?: string;
          "request_id"?: string;
          "status"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_invoices_payable_booking_id_fkey";
            columns: ["owner_id", "booking_id"];
            isOneToOne: false;
            referencedRelation: "crm_bookings";
            referencedColumns: ["owner_id", "id"];
          },
          {
            foreignKeyName: "crm_invoices_payable_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "crm_invoices_payable_provider_id_fkey";
            columns: ["owner_id", "provider_id"];
            isOneToOne: false;
            referencedRelation: "crm_providers";
            referencedColumns: ["owner_id", "id"];
          },
        ];
      };
      "crm_invoices_receivable": {
        Row: {
          "amount_minor": number;
          "archived_at": string | null;
          "booking_id": string | null;
          "client_id": string;
          "created_at": string;
          "currency": string;
          "due_on": string;
          "id": string;
          "issued_on": string;
          "number": string;
          "organization_id": string | null;
          "owner_id": string;
          "paid_minor": number;
          "request_id": string;
          "status": string;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "amount_minor": number;
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "client_id": string;
          "created_at"?: string;
          "currency": string;
          "due_on": string;
          "id"?: string;
          "issued_on": string;
          "number": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "paid_minor"?: number;
          "request_id"?: string;
          "status"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "amount_minor"?: number;
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "client_id"?: string;
          "created_at"?: string;
          "currency"?: string;
          "due_on"?: string;
          "id"?: string;
          "issued_on"?: string;
          "number"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "paid_minor"?: number;
          "request_id"?: string;
          "status"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_invoices_receivable_booking_id_fkey";
            columns: ["owner_id", "booking_id"];
            isOneToOne: false;
            referencedRelation: "crm_bookings";
            referencedColumns: ["owner_id", "id"];
          },
          {
            foreignKeyName: "crm_invoices_receivable_client_id_fkey";
            columns: ["owner_id", "client_id"];
            isOneToOne: false;
            referencedRelation: "crm_clients";
            referencedColumns: ["owner_id", "id"];
          },
          {
            foreignKeyName: "crm_invoices_receivable_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_providers": {
        Row: {
          "archived_at": string | null;
          "created_at": string;
          "email": string | null;
          "id": string;
          "name": string;
          "organization_id": string | null;
          "owner_id": string;
          "phone": string | null;
          "request_id": string;
          "tax_number": string | null;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "email"?: string | null;
          "id"?: string;
          "name": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "tax_number"?: string | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "email"?: string | null;
          "id"?: string;
          "name"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "tax_number"?: string | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_providers_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_restaurants": {
        Row: {
          "archived_at": string | null;
          "city": string;
          "country": string | null;
          "created_at": string;
          "cuisine": string | null;
          "id": string;
          "name": string;
          "organization_id": string | null;
          "owner_id": string;
          "phone": string | null;
          "request_id": string;
          "seats": number | null;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "city": string;
          "country"?: string | null;
          "created_at"?: string;
          "cuisine"?: string | null;
          "id"?: string;
          "name": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "seats"?: number | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "city"?: string;
          "country"?: string | null;
          "created_at"?: string;
          "cuisine"?: string | null;
          "id"?: string;
          "name"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "seats"?: number | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_restaurants_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_roles": {
        Row: {
          "archived_at": string | null;
          "created_at": string;
          "id": string;
          "is_system": boolean;
          "name": string;
          "organization_id": string | null;
          "owner_id": string;
          "permissions": (string)[];
          "request_id": string;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "is_system"?: boolean;
          "name": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "permissions"?: (string)[];
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "is_system"?: boolean;
          "name"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "permissions"?: (string)[];
          "request_id"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_roles_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "crm_transfers": {
        Row: {
          "archived_at": string | null;
          "booking_id": string | null;
          "created_at": string;
          "departs_at": string;
          "from_place": string;
          "id": string;
          "organization_id": string | null;
          "owner_id": string;
          "passengers": number;
          "request_id": string;
          "to_place": string;
          "updated_at": string;
          "user_id": string | null;
          "vehicle_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "created_at"?: string;
          "departs_at": string;
          "from_place": string;
          "id"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "passengers": number;
          "request_id"?: string;
          "to_place": string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "vehicle_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "booking_id"?: string | null;
          "created_at"?: string;
          "departs_at"?: string;
          "from_place"?: string;
          "id"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "passengers"?: number;
          "request_id"?: string;
          "to_place"?: string;
          "updated_at"?: string;
          "user_id"?: string | null;
          "vehicle_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_transfers_booking_id_fkey";
            columns: ["owner_id", "booking_id"];
            isOneToOne: false;
            referencedRelation: "crm_bookings";
            referencedColumns: ["owner_id", "id"];
          },
          {
            foreignKeyName: "crm_transfers_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "crm_transfers_vehicle_id_fkey";
            columns: ["owner_id", "vehicle_id"];
            isOneToOne: false;
            referencedRelation: "crm_vehicles";
            referencedColumns: ["owner_id", "id"];
          },
        ];
      };
      "crm_users": {
        Row: {
          "account_id": string | null;
          "archived_at": string | null;
          "created_at": string;
          "email": string | null;
          "full_name": string;
          "id": string;
          "organization_id": string | null;
          "owner_id": string;
          "phone": string | null;
          "request_id": string;
          "role_id": string | null;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "account_id"?: string | null;
          "archived_at"?: string | null;
          "created_at"?: string;
          "email"?: string | null;
          "full_name": string;
          "id"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "role_id"?: string | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "account_id"?: string | null;
          "archived_at"?: string | null;
          "created_at"?: string;
          "email"?: string | null;
          "full_name"?: string;
          "id"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "phone"?: string | null;
          "request_id"?: string;
          "role_id"?: string | null;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_users_account_id_fkey";
            columns: ["organization_id", "account_id"];
            isOneToOne: false;
            referencedRelation: "organization_members";
            referencedColumns: ["organization_id", "user_id"];
          },
          {
            foreignKeyName: "crm_users_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "crm_users_role_id_fkey";
            columns: ["owner_id", "role_id"];
            isOneToOne: false;
            referencedRelation: "crm_roles";
            referencedColumns: ["owner_id", "id"];
          },
        ];
      };
      "crm_vehicles": {
        Row: {
          "archived_at": string | null;
          "created_at": string;
          "id": string;
          "model": string;
          "organization_id": string | null;
          "owner_id": string;
          "plate": string;
          "provider_id": string | null;
          "request_id": string;
          "seats": number;
          "updated_at": string;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "model": string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "plate": string;
          "provider_id"?: string | null;
          "request_id"?: string;
          "seats": number;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "model"?: string;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "plate"?: string;
          "provider_id"?: string | null;
          "request_id"?: string;
          "seats"?: number;
          "updated_at"?: string;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "crm_vehicles_organization_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "crm_vehicles_provider_id_fkey";
            columns: ["owner_id", "provider_id"];
            isOneToOne: false;
            referencedRelation: "crm_providers";
            referencedColumns: ["owner_id", "id"];
          },
        ];
      };
      "document_chunks": {
        Row: {
          "content": string;
          "document_id": string;
          "end_offset": number;
          "position": number;
          "sha256": string;
          "start_offset": number;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "content": string;
          "document_id": string;
          "end_offset": number;
          "position": number;
          "sha256": string;
          "start_offset": number;
          "user_id"?: string;
        };
        Update: {
          "content"?: string;
          "document_id"?: string;
          "end_offset"?: number;
          "position"?: number;
          "sha256"?: string;
          "start_offset"?: number;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "document_chunks_document_fkey";
            columns: ["user_id", "document_id"];
            isOneToOne: false;
            referencedRelation: "documents";
            referencedColumns: ["user_id", "id"];
          },
        ];
      };
      "document_sequences": {
        Row: {
          "business_id": string;
          "kind": string;
          "last_number": number;
          "period": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "kind": string;
          "last_number": number;
          "period": string;
        };
        Update: {
          "business_id"?: string;
          "kind"?: string;
          "last_number"?: number;
          "period"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "document_sequences_business_id_fkey";
            columns: ["business_id"];
            isOneToOne: false;
            referencedRelation: "businesses";
            referencedColumns: ["id"];
          },
        ];
      };
      "documents": {
        Row: {
          "content": string;
          "created_at": string;
          "id": string;
          "mime_type": string;
          "title": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "content": string;
          "created_at"?: string;
          "id"?: string;
          "mime_type": string;
          "title": string;
          "user_id"?: string;
        };
        Update: {
          "content"?: string;
          "created_at"?: string;
          "id"?: string;
          "mime_type"?: string;
          "title"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "event_edits": {
        Row: {
          "cost": number;
          "created_at": string;
          "event_id": string;
          "request_id": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "cost": number;
          "created_at"?: string;
          "event_id": string;
          "request_id": string;
          "user_id": string;
        };
        Update: {
          "cost"?: number;
          "created_at"?: string;
          "event_id"?: string;
          "request_id"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "event_edits_event_id_fkey";
            columns: ["event_id"];
            isOneToOne: false;
            referencedRelation: "events";
            referencedColumns: ["id"];
          },
        ];
      };
      "events": {
        Row: {
          "archived_at": string | null;
          "cancelled_at": string | null;
          "cost": number;
          "created_at": string;
          "description": string | null;
          "id": string;
          "is_included": boolean;
          "location": string | null;
          "participants": number;
          "places": number;
          "request_id": string;
          "starts_at": string;
          "title": string;
          "user_id": string;
          "version": number;
          "event_as_told": Json | null;
        };
        ComputedFields: "event_as_told";
        Insert: {
          "archived_at"?: string | null;
          "cancelled_at"?: string | null;
          "cost": number;
          "created_at"?: string;
          "description"?: string | null;
          "id"?: string;
          "is_included"?: boolean;
          "location"?: string | null;
          "participants"?: number;
          "places"?: number;
          "request_id": string;
          "starts_at": string;
          "title": string;
          "user_id": string;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "cancelled_at"?: string | null;
          "cost"?: number;
          "created_at"?: string;
          "description"?: string | null;
          "id"?: string;
          "is_included"?: boolean;
          "location"?: string | null;
          "participants"?: number;
          "places"?: number;
          "request_id"?: string;
          "starts_at"?: string;
          "title"?: string;
          "user_id"?: string;
          "version"?: number;
        };
        Relationships: [];
      };
      "gpu_pools": {
        Row: {
          "hours_free": number;
          "id": string;
          "name": string;
        };
        ComputedFields: never;
        Insert: {
          "hours_free": number;
          "id"?: string;
          "name": string;
        };
        Update: {
          "hours_free"?: number;
          "id"?: string;
          "name"?: string;
        };
        Relationships: [];
      };
      "gpu_reservations": {
        Row: {
          "created_at": string;
          "hours": number;
          "id": string;
          "pool_id": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "hours": number;
          "id"?: string;
          "pool_id": string;
          "user_id"?: string;
        };
        Update: {
          "created_at"?: string;
          "hours"?: number;
          "id"?: string;
          "pool_id"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "gpu_reservations_pool_id_fkey";
            columns: ["pool_id"];
            isOneToOne: false;
            referencedRelation: "gpu_pools";
            referencedColumns: ["id"];
          },
        ];
      };
      "idempotency_keys": {
        Row: {
          "attempt": number;
          "claimed_at": string;
          "completed_at": string | null;
          "crashed_attempts": Json | null;
          "created_at": string;
          "error_message": string | null;
          "expires_at": string;
          "fence": number;
          "idempotency_key": string;
          "lease_expires_at": string | null;
          "metadata": Json | null;
          "owner": string;
          "owner_token": string;
          "past_owners": (string)[] | null;
          "request_fingerprint": string;
          "response": string | null;
          "response_encoding": string | null;
          "response_headers": Json | null;
          "scope": string;
          "status": string;
          "status_code": number | null;
          "steps": Json | null;
          "user_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "attempt"?: number;
          "claimed_at"?: string;
          "completed_at"?: string | null;
          "crashed_attempts"?: Json | null;
          "created_at"?: string;
          "error_message"?: string | null;
          "expires_at": string;
          "fence"?: number;
          "idempotency_key": string;
          "lease_expires_at"?: string | null;
          "metadata"?: Json | null;
          "owner": string;
          "owner_token": string;
          "past_owners"?: (string)[] | null;
          "request_fingerprint": string;
          "response"?: string | null;
          "response_encoding"?: string | null;
          "response_headers"?: Json | null;
          "scope": string;
          "status"?: string;
          "status_code"?: number | null;
          "steps"?: Json | null;
          "user_id"?: string | null;
        };
        Update: {
          "attempt"?: number;
          "claimed_at"?: string;
          "completed_at"?: string | null;
          "crashed_attempts"?: Json | null;
          "created_at"?: string;
          "error_message"?: string | null;
          "expires_at"?: string;
          "fence"?: number;
          "idempotency_key"?: string;
          "lease_expires_at"?: string | null;
          "metadata"?: Json | null;
          "owner"?: string;
          "owner_token"?: string;
          "past_owners"?: (string)[] | null;
          "request_fingerprint"?: string;
          "response"?: string | null;
          "response_encoding"?: string | null;
          "response_headers"?: Json | null;
          "scope"?: string;
          "status"?: string;
          "status_code"?: number | null;
          "steps"?: Json | null;
          "user_id"?: string | null;
        };
        Relationships: [];
      };
      "inventory_correction_lines": {
        Row: {
          "business_id": string;
          "correction_id": string;
          "product_id": string;
          "quantity": number;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "correction_id": string;
          "product_id": string;
          "quantity": number;
        };
        Update: {
          "business_id"?: string;
          "correction_id"?: string;
          "product_id"?: string;
          "quantity"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "inventory_correction_lines_correction_fkey";
            columns: ["business_id", "correction_id"];
            isOneToOne: false;
            referencedRelation: "inventory_corrections";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "inventory_correction_lines_product_fkey";
            columns: ["business_id", "product_id"];
            isOneToOne: false;
            referencedRelation: "products";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "inventory_corrections": {
        Row: {
          "approved_at": string | null;
          "approved_by": string | null;
          "business_id": string;
          "created_at": string;
          "created_by": string;
          "id": string;
          "location_id": string;
          "reason": string;
          "status": string;
        };
        ComputedFields: never;
        Insert: {
          "approved_at"?: string | null;
          "approved_by"?: string | null;
          "business_id": string;
          "created_at"?: string;
          "created_by"?: string;
          "id"?: string;
          "location_id": string;
          "reason": string;
          "status"?: string;
        };
        Update: {
          "approved_at"?: string | null;
          "approved_by"?: string | null;
          "business_id"?: string;
          "created_at"?: string;
          "created_by"?: string;
          "id"?: string;
          "location_id"?: string;
          "reason"?: string;
          "status"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "inventory_corrections_location_fkey";
            columns: ["business_id", "location_id"];
            isOneToOne: false;
            referencedRelation: "locations";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "inventory_count_lines": {
        Row: {
          "business_id": string;
          "count_id": string;
          "counted": number;
          "difference": number;
          "expected": number;
          "product_id": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "count_id": string;
          "counted": number;
          "difference"?: never;
          "expected": number;
          "product_id": string;
        };
        Update: {
          "business_id"?: string;
          "count_id"?: string;
          "counted"?: number;
          "difference"?: never;
          "expected"?: number;
          "product_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "inventory_count_lines_count_fkey";
            columns: ["business_id", "count_id"];
            isOneToOne: false;
            referencedRelation: "inventory_counts";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "inventory_count_lines_product_fkey";
            columns: ["business_id", "product_id"];
            isOneToOne: false;
            referencedRelation: "products";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "inventory_counts": {
        Row: {
          "business_id": string;
          "counted_by": string;
          "created_at": string;
          "id": string;
          "location_id": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "counted_by": string;
          "created_at"?: string;
          "id"?: string;
          "location_id": string;
        };
        Update: {
          "business_id"?: string;
          "counted_by"?: string;
          "created_at"?: string;
          "id"?: string;
          "location_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "inventory_counts_location_fkey";
            columns: ["business_id", "location_id"];
            isOneToOne: false;
            referencedRelation: "locations";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "invoice_series": {
        Row: {
          "business_id": string;
          "first_serial": number;
          "last_serial": number;
          "permit_number": string;
          "used_serial": number;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "first_serial": number;
          "last_serial": number;
          "permit_number": string;
          "used_serial": number;
        };
        Update: {
          "business_id"?: string;
          "first_serial"?: number;
          "last_serial"?: number;
          "permit_number"?: string;
          "used_serial"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "invoice_series_business_id_fkey";
            columns: ["business_id"];
            isOneToOne: false;
            referencedRelation: "businesses";
            referencedColumns: ["id"];
          },
        ];
      };
      "locations": {
        Row: {
          "business_id": string;
          "created_at": string;
          "id": string;
          "name": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "created_at"?: string;
          "id"?: string;
          "name": string;
        };
        Update: {
          "business_id"?: string;
          "created_at"?: string;
          "id"?: string;
          "name"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "locations_business_id_fkey";
            columns: ["business_id"];
            isOneToOne: false;
            referencedRelation: "businesses";
            referencedColumns: ["id"];
          },
        ];
      };
      "memberships": {
        Row: {
          "business_id": string;
          "created_at": string;
          "role": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "created_at"?: string;
          "role": string;
          "user_id": string;
        };
        Update: {
          "business_id"?: string;
          "created_at"?: string;
          "role"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "memberships_business_id_fkey";
            columns: ["business_id"];
            isOneToOne: false;
            referencedRelation: "businesses";
            referencedColumns: ["id"];
          },
        ];
      };
      "organization_members": {
        Row: {
          "created_at": string;
          "organization_id": string;
          "role": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "organization_id": string;
          "role"?: string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "organization_id"?: string;
          "role"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "organization_members_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "organizations": {
        Row: {
          "created_at": string;
          "id": string;
          "name": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "id"?: string;
          "name": string;
        };
        Update: {
          "created_at"?: string;
          "id"?: string;
          "name"?: string;
        };
        Relationships: [];
      };
      "payments": {
        Row: {
          "amount": number;
          "created_at": string;
          "currency": string;
          "event_id": string;
          "id": string;
          "paid_at": string;
          "payment_intent_id": string;
          "user_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "amount": number;
          "created_at"?: string;
          "currency": string;
          "event_id": string;
          "id"?: string;
          "paid_at": string;
          "payment_intent_id": string;
          "user_id"?: string | null;
        };
        Update: {
          "amount"?: number;
          "created_at"?: string;
          "currency"?: string;
          "event_id"?: string;
          "id"?: string;
          "paid_at"?: string;
          "payment_intent_id"?: string;
          "user_id"?: string | null;
        };
        Relationships: [];
      };
      "plans": {
        Row: {
          "event_cost": number;
          "monthly_events": number;
          "name": string;
          "participant_cost": number;
          "participants": number;
        };
        ComputedFields: never;
        Insert: {
          "event_cost": number;
          "monthly_events": number;
          "name": string;
          "participant_cost"?: number;
          "participants"?: number;
        };
        Update: {
          "event_cost"?: number;
          "monthly_events"?: number;
          "name"?: string;
          "participant_cost"?: number;
          "participants"?: number;
        };
        Relationships: [];
      };
      "processing_jobs": {
        Row: {
          "characters": number;
          "chunk_count": number;
          "created_at": string;
          "document_id": string;
          "id": string;
          "request_id": string;
          "status": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "characters": number;
          "chunk_count": number;
          "created_at"?: string;
          "document_id": string;
          "id"?: string;
          "request_id"?: string;
          "status"?: string;
          "user_id"?: string;
        };
        Update: {
          "characters"?: number;
          "chunk_count"?: number;
          "created_at"?: string;
          "document_id"?: string;
          "id"?: string;
          "request_id"?: string;
          "status"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "processing_jobs_document_fkey";
            columns: ["user_id", "document_id"];
            isOneToOne: false;
            referencedRelation: "documents";
            referencedColumns: ["user_id", "id"];
          },
        ];
      };
      "products": {
        Row: {
          "business_id": string;
          "created_at": string;
          "id": string;
          "name": string;
          "price": number;
          "sku": string;
          "tax_rate": number;
          "zero_rated": boolean;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "created_at"?: string;
          "id"?: string;
          "name": string;
          "price": number;
          "sku": string;
          "tax_rate"?: number;
          "zero_rated"?: boolean;
        };
        Update: {
          "business_id"?: string;
          "created_at"?: string;
          "id"?: string;
          "name"?: string;
          "price"?: number;
          "sku"?: string;
          "tax_rate"?: number;
          "zero_rated"?: boolean;
        };
        Relationships: [
          {
            foreignKeyName: "products_business_id_fkey";
            columns: ["business_id"];
            isOneToOne: false;
            referencedRelation: "businesses";
            referencedColumns: ["id"];
          },
        ];
      };
      "purchase_receipt_lines": {
        Row: {
          "business_id": string;
          "product_id": string;
          "quantity": number;
          "receipt_id": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "product_id": string;
          "quantity": number;
          "receipt_id": string;
        };
        Update: {
          "business_id"?: string;
          "product_id"?: string;
          "quantity"?: number;
          "receipt_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "purchase_receipt_lines_product_fkey";
            columns: ["business_id", "product_id"];
            isOneToOne: false;
            referencedRelation: "products";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "purchase_receipt_lines_receipt_fkey";
            columns: ["business_id", "receipt_id"];
            isOneToOne: false;
            referencedRelation: "purchase_receipts";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "purchase_receipts": {
        Row: {
          "approved_at": string | null;
          "approved_by": string | null;
          "business_id": string;
          "created_at": string;
          "created_by": string;
          "id": string;
          "location_id": string;
          "number": string | null;
          "status": string;
          "supplier": string;
        };
        ComputedFields: never;
        Insert: {
          "approved_at"?: string | null;
          "approved_by"?: string | null;
          "business_id": string;
          "created_at"?: string;
          "created_by"?: string;
          "id"?: string;
          "location_id": string;
          "number"?: string | null;
          "status"?: string;
          "supplier": string;
        };
        Update: {
          "approved_at"?: string | null;
          "approved_by"?: string | null;
          "business_id"?: string;
          "created_at"?: string;
          "created_by"?: string;
          "id"?: string;
          "location_id"?: string;
          "number"?: string | null;
          "status"?: string;
          "supplier"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "purchase_receipts_location_fkey";
            columns: ["business_id", "location_id"];
            isOneToOne: false;
            referencedRelation: "locations";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "quotation_history": {
        Row: {
          "action": string;
          "changed_at": string;
          "changed_by": string | null;
          "from_status": string | null;
          "id": number;
          "organization_id": string | null;
          "owner_id": string;
          "quotation_id": string;
          "request_id": string | null;
          "to_status": string | null;
          "user_id": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "action": string;
          "changed_at"?: string;
          "changed_by"?: string | null;
          "from_status"?: string | null;
          "id"?: never;
          "organization_id"?: string | null;
          "owner_id"?: never;
          "quotation_id": string;
          "request_id"?: string | null;
          "to_status"?: string | null;
          "user_id"?: string | null;
          "version": number;
        };
        Update: {
          "action"?: string;
          "changed_at"?: string;
          "changed_by"?: string | null;
          "from_status"?: string | null;
          "id"?: never;
          "organization_id"?: string | null;
          "owner_id"?: never;
          "quotation_id"?: string;
          "request_id"?: string | null;
          "to_status"?: string | null;
          "user_id"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "quotation_history_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "quotation_lines": {
        Row: {
          "description": string;
          "net_minor": number;
          "position": number;
          "quantity": number;
          "quotation_id": string;
          "tax_basis_points": number;
          "tax_minor": number;
          "unit_price_minor": number;
        };
        ComputedFields: never;
        Insert: {
          "description": string;
          "net_minor"?: never;
          "position": number;
          "quantity": number;
          "quotation_id": string;
          "tax_basis_points"?: number;
          "tax_minor"?: never;
          "unit_price_minor": number;
        };
        Update: {
          "description"?: string;
          "net_minor"?: never;
          "position"?: number;
          "quantity"?: number;
          "quotation_id"?: string;
          "tax_basis_points"?: number;
          "tax_minor"?: never;
          "unit_price_minor"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "quotation_lines_quotation_fkey";
            columns: ["quotation_id"];
            isOneToOne: false;
            referencedRelation: "quotations";
            referencedColumns: ["id"];
          },
        ];
      };
      "quotations": {
        Row: {
          "archived_at": string | null;
          "created_at": string;
          "currency": string;
          "customer_name": string;
          "id": string;
          "net_minor": number;
          "organization_id": string | null;
          "owner_id": string;
          "request_id": string;
          "status": string;
          "tax_minor": number;
          "total_minor": number;
          "updated_at": string;
          "user_id": string | null;
          "valid_until": string | null;
          "version": number;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "currency": string;
          "customer_name": string;
          "id"?: string;
          "net_minor"?: number;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "request_id"?: string;
          "status"?: string;
          "tax_minor"?: number;
          "total_minor"?: never;
          "updated_at"?: string;
          "user_id"?: string | null;
          "valid_until"?: string | null;
          "version"?: number;
        };
        Update: {
          "archived_at"?: string | null;
          "created_at"?: string;
          "currency"?: string;
          "customer_name"?: string;
          "id"?: string;
          "net_minor"?: number;
          "organization_id"?: string | null;
          "owner_id"?: string;
          "request_id"?: string;
          "status"?: string;
          "tax_minor"?: number;
          "total_minor"?: never;
          "updated_at"?: string;
          "user_id"?: string | null;
          "valid_until"?: string | null;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "quotations_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "recognition_addresses": {
        Row: {
          "address": string;
          "created_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "address"?: string;
          "created_at"?: string;
          "user_id"?: string;
        };
        Update: {
          "address"?: string;
          "created_at"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "recognition_shares": {
        Row: {
          "created_at": string;
          "evidence_weight": number;
          "recipient_address": string | null;
          "recipient_id": string;
          "recognition_id": string;
          "request_id": string;
          "shared_by_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "evidence_weight": number;
          "recipient_address"?: string | null;
          "recipient_id": string;
          "recognition_id": string;
          "request_id": string;
          "shared_by_id"?: string;
        };
        Update: {
          "created_at"?: string;
          "evidence_weight"?: number;
          "recipient_address"?: string | null;
          "recipient_id"?: string;
          "recognition_id"?: string;
          "request_id"?: string;
          "shared_by_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "recognition_shares_is_by_the_recipient";
            columns: ["recognition_id", "shared_by_id"];
            isOneToOne: false;
            referencedRelation: "recognitions";
            referencedColumns: ["id", "recipient_id"];
          },
        ];
      };
      "recognitions": {
        Row: {
          "category": string | null;
          "created_at": string;
          "id": string;
          "message": string;
          "points": number;
          "recipient_address": string | null;
          "recipient_id": string;
          "request_id": string;
          "sender_id": string;
          "tags": (string)[];
        };
        ComputedFields: never;
        Insert: {
          "category"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "message": string;
          "points": number;
          "recipient_address"?: string | null;
          "recipient_id": string;
          "request_id": string;
          "sender_id"?: string;
          "tags"?: (string)[];
        };
        Update: {
          "category"?: string | null;
          "created_at"?: string;
          "id"?: string;
          "message"?: string;
          "points"?: number;
          "recipient_address"?: string | null;
          "recipient_id"?: string;
          "request_id"?: string;
          "sender_id"?: string;
          "tags"?: (string)[];
        };
        Relationships: [];
      };
      "refund_lines": {
        Row: {
          "business_id": string;
          "product_id": string;
          "quantity": number;
          "refund_id": string;
          "sale_id": string;
          "tax": number;
          "total": number;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "product_id": string;
          "quantity": number;
          "refund_id": string;
          "sale_id": string;
          "tax": number;
          "total": number;
        };
        Update: {
          "business_id"?: string;
          "product_id"?: string;
          "quantity"?: number;
          "refund_id"?: string;
          "sale_id"?: string;
          "tax"?: number;
          "total"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "refund_lines_refund_fkey";
            columns: ["business_id", "refund_id", "sale_id"];
            isOneToOne: false;
            referencedRelation: "refunds";
            referencedColumns: ["business_id", "id", "sale_id"];
          },
          {
            foreignKeyName: "refund_lines_sale_line_fkey";
            columns: ["business_id", "sale_id", "product_id"];
            isOneToOne: false;
            referencedRelation: "sale_lines";
            referencedColumns: ["business_id", "sale_id", "product_id"];
          },
        ];
      };
      "refund_payments": {
        Row: {
          "amount": number;
          "business_id": string;
          "method": string;
          "position": number;
          "reference": string | null;
          "refund_id": string;
        };
        ComputedFields: never;
        Insert: {
          "amount": number;
          "business_id": string;
          "method": string;
          "position": number;
          "reference"?: string | null;
          "refund_id": string;
        };
        Update: {
          "amount"?: number;
          "business_id"?: string;
          "method"?: string;
          "position"?: number;
          "reference"?: string | null;
          "refund_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "refund_payments_refund_fkey";
            columns: ["business_id", "refund_id"];
            isOneToOne: false;
            referencedRelation: "refunds";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "refunds": {
        Row: {
          "business_id": string;
          "created_at": string;
          "id": string;
          "number": string;
          "refunded_by": string;
          "sale_id": string;
          "tax": number;
          "total": number;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "created_at"?: string;
          "id"?: string;
          "number": string;
          "refunded_by": string;
          "sale_id": string;
          "tax": number;
          "total": number;
        };
        Update: {
          "business_id"?: string;
          "created_at"?: string;
          "id"?: string;
          "number"?: string;
          "refunded_by"?: string;
          "sale_id"?: string;
          "tax"?: number;
          "total"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "refunds_sale_fkey";
            columns: ["business_id", "sale_id"];
            isOneToOne: false;
            referencedRelation: "sales";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "refunds_sale_fkey";
            columns: ["business_id", "sale_id"];
            isOneToOne: false;
            referencedRelation: "v_invoices";
            referencedColumns: ["business_id", "sale_id"];
          },
        ];
      };
      "sale_lines": {
        Row: {
          "business_id": string;
          "name": string;
          "product_id": string;
          "quantity": number;
          "refunded_quantity": number;
          "sale_id": string;
          "tax": number;
          "tax_rate": number;
          "total": number;
          "unit_price": number;
          "zero_rated": boolean;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "name": string;
          "product_id": string;
          "quantity": number;
          "refunded_quantity"?: number;
          "sale_id": string;
          "tax"?: never;
          "tax_rate": number;
          "total"?: never;
          "unit_price": number;
          "zero_rated"?: boolean;
        };
        Update: {
          "business_id"?: string;
          "name"?: string;
          "product_id"?: string;
          "quantity"?: number;
          "refunded_quantity"?: number;
          "sale_id"?: string;
          "tax"?: never;
          "tax_rate"?: number;
          "total"?: never;
          "unit_price"?: number;
          "zero_rated"?: boolean;
        };
        Relationships: [
          {
            foreignKeyName: "sale_lines_product_fkey";
            columns: ["business_id", "product_id"];
            isOneToOne: false;
            referencedRelation: "products";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "sale_lines_sale_fkey";
            columns: ["business_id", "sale_id"];
            isOneToOne: false;
            referencedRelation: "sales";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "sale_lines_sale_fkey";
            columns: ["business_id", "sale_id"];
            isOneToOne: false;
            referencedRelation: "v_invoices";
            referencedColumns: ["business_id", "sale_id"];
          },
        ];
      };
      "sale_payments": {
        Row: {
          "amount": number;
          "business_id": string;
          "change": number | null;
          "method": string;
          "position": number;
          "reference": string | null;
          "sale_id": string;
          "tendered": number | null;
        };
        ComputedFields: never;
        Insert: {
          "amount": number;
          "business_id": string;
          "change"?: never;
          "method": string;
          "position": number;
          "reference"?: string | null;
          "sale_id": string;
          "tendered"?: number | null;
        };
        Update: {
          "amount"?: number;
          "business_id"?: string;
          "change"?: never;
          "method"?: string;
          "position"?: number;
          "reference"?: string | null;
          "sale_id"?: string;
          "tendered"?: number | null;
        };
        Relationships: [
          {
            foreignKeyName: "sale_payments_sale_fkey";
            columns: ["business_id", "sale_id"];
            isOneToOne: false;
            referencedRelation: "sales";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "sale_payments_sale_fkey";
            columns: ["business_id", "sale_id"];
            isOneToOne: false;
            referencedRelation: "v_invoices";
            referencedColumns: ["business_id", "sale_id"];
          },
        ];
      };
      "sales": {
        Row: {
          "business_id": string;
          "buyer_address": string | null;
          "buyer_name": string | null;
          "buyer_tin": string | null;
          "created_at": string;
          "currency": string;
          "id": string;
          "location_id": string;
          "number": string;
          "permit_number": string | null;
          "registration_version": number | null;
          "serial": number | null;
          "sold_by": string;
          "tax": number;
          "total": number;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "buyer_address"?: string | null;
          "buyer_name"?: string | null;
          "buyer_tin"?: string | null;
          "created_at"?: string;
          "currency": string;
          "id"?: string;
          "location_id": string;
          "number": string;
          "permit_number"?: string | null;
          "registration_version"?: number | null;
          "serial"?: number | null;
          "sold_by": string;
          "tax": number;
          "total": number;
        };
        Update: {
          "business_id"?: string;
          "buyer_address"?: string | null;
          "buyer_name"?: string | null;
          "buyer_tin"?: string | null;
          "created_at"?: string;
          "currency"?: string;
          "id"?: string;
          "location_id"?: string;
          "number"?: string;
          "permit_number"?: string | null;
          "registration_version"?: number | null;
          "serial"?: number | null;
          "sold_by"?: string;
          "tax"?: number;
          "total"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "sales_location_fkey";
            columns: ["business_id", "location_id"];
            isOneToOne: false;
            referencedRelation: "locations";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "sales_registration_fkey";
            columns: ["business_id", "registration_version", "permit_number"];
            isOneToOne: false;
            referencedRelation: "tax_registrations";
            referencedColumns: ["business_id", "version", "permit_number"];
          },
        ];
      };
      "stock": {
        Row: {
          "business_id": string;
          "location_id": string;
          "product_id": string;
          "quantity": number;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "location_id": string;
          "product_id": string;
          "quantity": number;
        };
        Update: {
          "business_id"?: string;
          "location_id"?: string;
          "product_id"?: string;
          "quantity"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "stock_location_fkey";
            columns: ["business_id", "location_id"];
            isOneToOne: false;
            referencedRelation: "locations";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "stock_product_fkey";
            columns: ["business_id", "product_id"];
            isOneToOne: false;
            referencedRelation: "products";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "stock_movements": {
        Row: {
          "business_id": string;
          "created_at": string;
          "document_id": string;
          "id": number;
          "location_id": string;
          "product_id": string;
          "quantity": number;
          "reason": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "created_at"?: string;
          "document_id": string;
          "id"?: never;
          "location_id": string;
          "product_id": string;
          "quantity": number;
          "reason": string;
        };
        Update: {
          "business_id"?: string;
          "created_at"?: string;
          "document_id"?: string;
          "id"?: never;
          "location_id"?: string;
          "product_id"?: string;
          "quantity"?: number;
          "reason"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "stock_movements_stock_fkey";
            columns: ["business_id", "location_id", "product_id"];
            isOneToOne: false;
            referencedRelation: "stock";
            referencedColumns: ["business_id", "location_id", "product_id"];
          },
        ];
      };
      "supplier_return_lines": {
        Row: {
          "business_id": string;
          "product_id": string;
          "quantity": number;
          "return_id": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "product_id": string;
          "quantity": number;
          "return_id": string;
        };
        Update: {
          "business_id"?: string;
          "product_id"?: string;
          "quantity"?: number;
          "return_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "supplier_return_lines_product_fkey";
            columns: ["business_id", "product_id"];
            isOneToOne: false;
            referencedRelation: "products";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "supplier_return_lines_return_fkey";
            columns: ["business_id", "return_id"];
            isOneToOne: false;
            referencedRelation: "supplier_returns";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "supplier_returns": {
        Row: {
          "approved_at": string | null;
          "approved_by": string | null;
          "business_id": string;
          "created_at": string;
          "created_by": string;
          "id": string;
          "location_id": string;
          "number": string | null;
          "status": string;
          "supplier": string;
        };
        ComputedFields: never;
        Insert: {
          "approved_at"?: string | null;
          "approved_by"?: string | null;
          "business_id": string;
          "created_at"?: string;
          "created_by"?: string;
          "id"?: string;
          "location_id": string;
          "number"?: string | null;
          "status"?: string;
          "supplier": string;
        };
        Update: {
          "approved_at"?: string | null;
          "approved_by"?: string | null;
          "business_id"?: string;
          "created_at"?: string;
          "created_by"?: string;
          "id"?: string;
          "location_id"?: string;
          "number"?: string | null;
          "status"?: string;
          "supplier"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "supplier_returns_location_fkey";
            columns: ["business_id", "location_id"];
            isOneToOne: false;
            referencedRelation: "locations";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "tax_registrations": {
        Row: {
          "accreditation_issued_on": string | null;
          "accreditation_number": string | null;
          "address": string;
          "branch_code": string;
          "business_id": string;
          "created_at": string;
          "first_serial": number;
          "last_serial": number;
          "permit_issued_on": string;
          "permit_number": string;
          "registered_by": string;
          "registered_name": string;
          "tin": string;
          "vat_registered": boolean;
          "version": number;
          "pos_seller": Json | null;
        };
        ComputedFields: "pos_seller";
        Insert: {
          "accreditation_issued_on"?: string | null;
          "accreditation_number"?: string | null;
          "address": string;
          "branch_code": string;
          "business_id": string;
          "created_at"?: string;
          "first_serial": number;
          "last_serial": number;
          "permit_issued_on": string;
          "permit_number": string;
          "registered_by": string;
          "registered_name": string;
          "tin": string;
          "vat_registered": boolean;
          "version": number;
        };
        Update: {
          "accreditation_issued_on"?: string | null;
          "accreditation_number"?: string | null;
          "address"?: string;
          "branch_code"?: string;
          "business_id"?: string;
          "created_at"?: string;
          "first_serial"?: number;
          "last_serial"?: number;
          "permit_issued_on"?: string;
          "permit_number"?: string;
          "registered_by"?: string;
          "registered_name"?: string;
          "tin"?: string;
          "vat_registered"?: boolean;
          "version"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "tax_registrations_business_id_fkey";
            columns: ["business_id"];
            isOneToOne: false;
            referencedRelation: "businesses";
            referencedColumns: ["id"];
          },
        ];
      };
      "training_dataset_documents": {
        Row: {
          "dataset_id": string;
          "document_id": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "dataset_id": string;
          "document_id": string;
          "user_id"?: string;
        };
        Update: {
          "dataset_id"?: string;
          "document_id"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "training_dataset_documents_dataset_fkey";
            columns: ["user_id", "dataset_id"];
            isOneToOne: false;
            referencedRelation: "training_datasets";
            referencedColumns: ["user_id", "id"];
          },
          {
            foreignKeyName: "training_dataset_documents_document_fkey";
            columns: ["user_id", "document_id"];
            isOneToOne: false;
            referencedRelation: "documents";
            referencedColumns: ["user_id", "id"];
          },
        ];
      };
      "training_datasets": {
        Row: {
          "content": string;
          "created_at": string;
          "encoding": string;
          "examples": number;
          "format": string;
          "id": string;
          "request_id": string;
          "tokens": number;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "content": string;
          "created_at"?: string;
          "encoding": string;
          "examples": number;
          "format": string;
          "id"?: string;
          "request_id"?: string;
          "tokens": number;
          "user_id"?: string;
        };
        Update: {
          "content"?: string;
          "created_at"?: string;
          "encoding"?: string;
          "examples"?: number;
          "format"?: string;
          "id"?: string;
          "request_id"?: string;
          "tokens"?: number;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "training_jobs": {
        Row: {
          "created_at": string;
          "dataset_id": string;
          "error_message": string | null;
          "id": string;
          "model": string;
          "provider_file_id": string | null;
          "provider_job_id": string | null;
          "request_id": string;
          "status": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "dataset_id": string;
          "error_message"?: string | null;
          "id"?: string;
          "model": string;
          "provider_file_id"?: string | null;
          "provider_job_id"?: string | null;
          "request_id": string;
          "status"?: string;
          "user_id"?: string;
        };
        Update: {
          "created_at"?: string;
          "dataset_id"?: string;
          "error_message"?: string | null;
          "id"?: string;
          "model"?: string;
          "provider_file_id"?: string | null;
          "provider_job_id"?: string | null;
          "request_id"?: string;
          "status"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "training_jobs_dataset_fkey";
            columns: ["user_id", "dataset_id"];
            isOneToOne: false;
            referencedRelation: "training_datasets";
            referencedColumns: ["user_id", "id"];
          },
        ];
      };
      "transfer_lines": {
        Row: {
          "business_id": string;
          "product_id": string;
          "quantity": number;
          "transfer_id": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "product_id": string;
          "quantity": number;
          "transfer_id": string;
        };
        Update: {
          "business_id"?: string;
          "product_id"?: string;
          "quantity"?: number;
          "transfer_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "transfer_lines_product_fkey";
            columns: ["business_id", "product_id"];
            isOneToOne: false;
            referencedRelation: "products";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "transfer_lines_transfer_fkey";
            columns: ["business_id", "transfer_id"];
            isOneToOne: false;
            referencedRelation: "transfers";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "transfers": {
        Row: {
          "business_id": string;
          "created_at": string;
          "created_by": string;
          "from_location_id": string;
          "id": string;
          "number": string | null;
          "received_at": string | null;
          "received_by": string | null;
          "sent_at": string | null;
          "sent_by": string | null;
          "status": string;
          "to_location_id": string;
        };
        ComputedFields: never;
        Insert: {
          "business_id": string;
          "created_at"?: string;
          "created_by"?: string;
          "from_location_id": string;
          "id"?: string;
          "number"?: string | null;
          "received_at"?: string | null;
          "received_by"?: string | null;
          "sent_at"?: string | null;
          "sent_by"?: string | null;
          "status"?: string;
          "to_location_id": string;
        };
        Update: {
          "business_id"?: string;
          "created_at"?: string;
          "created_by"?: string;
          "from_location_id"?: string;
          "id"?: string;
          "number"?: string | null;
          "received_at"?: string | null;
          "received_by"?: string | null;
          "sent_at"?: string | null;
          "sent_by"?: string | null;
          "status"?: string;
          "to_location_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "transfers_from_location_fkey";
            columns: ["business_id", "from_location_id"];
            isOneToOne: false;
            referencedRelation: "locations";
            referencedColumns: ["business_id", "id"];
          },
          {
            foreignKeyName: "transfers_to_location_fkey";
            columns: ["business_id", "to_location_id"];
            isOneToOne: false;
            referencedRelation: "locations";
            referencedColumns: ["business_id", "id"];
          },
        ];
      };
      "user_plans": {
        Row: {
          "plan_name": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "plan_name": string;
          "user_id": string;
        };
        Update: {
          "plan_name"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "user_plans_plan_name_fkey";
            columns: ["plan_name"];
            isOneToOne: false;
            referencedRelation: "plans";
            referencedColumns: ["name"];
          },
        ];
      };
    };
    Views: {
      "v_document_numbers": {
        Row: {
          "business_id": string | null;
          "counter": number | null;
          "document_id": string | null;
          "kind": string | null;
          "number": string | null;
          "period": string | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      "v_idempotency_stats": {
        Row: {
          "as_of": string | null;
          "completed_count": number | null;
          "duration_p50_ms": number | null;
          "duration_p95_ms": number | null;
          "expired_count": number | null;
          "failed_count": number | null;
          "oldest_processing_seconds": number | null;
          "processing_count": number | null;
          "refused_count": number | null;
          "replay_count": number | null;
          "replay_rate": number | null;
          "scope": string | null;
          "stuck_count": number | null;
          "total_count": number | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      "v_invoices": {
        Row: {
          "business_id": string;
          "invoice": Json | null;
          "sale_id": string;
        };
        ComputedFields: never;
        Relationships: [];
      };
    };
    Functions: {
      "archive_quotation": {
        Args: {
          "p_archived": boolean;
          "p_id": string;
          "p_request_id": string;
          "p_versions": (number)[];
        };
        Returns: Json;
      };
      "archived_rows_included": {
        Args: Record<PropertyKey, never>;
        Returns: boolean;
      };
      "cancel_event": { Args: { "p_event_id": string }; Returns: Json };
      "change_quotation_status": {
        Args: {
          "p_id": string;
          "p_organization_id"?: string;
          "p_request_id": string;
          "p_status": string;
          "p_versions": (number)[];
        };
        Returns: Json;
      };
      "cleanup_expired_idempotency_keys": {
        Args: { "p_batch_size"?: number };
        Returns: number;
      };
      "create_business": {
        Args: {
          "p_currency": string;
          "p_name": string;
          "p_time_zone"?: string;
        };
        Returns: string;
      };
      "create_event": {
        Args: {
          "p_confirm_credit"?: boolean;
          "p_description"?: string;
          "p_location"?: string;
          "p_max_cost"?: number;
          "p_participants"?: number;
          "p_request_id": string;
          "p_starts_at": string;
          "p_title": string;
        };
        Returns: Json;
      };
      "create_organization": {
        Args: { "p_id"?: string; "p_name": string };
        Returns: string;
      };
      "create_quotation": {
        Args: {
          "p_organization_id"?: string;
          "p_quotation": Json;
          "p_request_id": string;
        };
        Returns: Json;
      };
      "crm_change": {
        Args: {
          "p_action": string;
          "p_fields": Json;
          "p_id": string;
          "p_request": Json;
          "p_resource": string;
          "p_versions": (number)[];
        };
        Returns: Json;
      };
      "crm_create": {
        Args: {
          "p_fields": Json;
          "p_organization_id": string;
          "p_request": Json;
          "p_resource": string;
        };
        Returns: Json;
      };
      "crm_refuse": {
        Args: { "p_code": string; "p_constraint": string; "p_table": string };
        Returns: undefined;
      };
      "disable_soft_delete": {
        Args: { "p_table": unknown };
        Returns: undefined;
      };
      "document_period": {
        Args: { "p_time": string; "p_time_zone": string };
        Returns: string;
      };
      "document_time_zone": {
        Args: { "p_business_id": string };
        Returns: string;
      };
      "enable_soft_delete":
        | {
          Args: { "p_condition": string; "p_table": unknown };
          Returns: undefined;
        }
        | {
          Args: {
            "p_condition"?: string;
            "p_list_columns"?: (string)[];
            "p_table": unknown;
            "p_unique_for_ever"?: (string)[];
          };
          Returns: undefined;
        };
      "event_as_told": {
        Args: {
          "p_event": Omit<
            Database["public"]["Tables"]["events"]["Row"],
            Database["public"]["Tables"]["events"]["ComputedFields"]
          >;
        };
        Returns: Json;
      };
      "get_idempotency_status": {
        Args: {
          "p_idempotency_key": string;
          "p_owner"?: string;
          "p_scope"?: string;
        };
        Returns: {
          "attempt": number;
          "claimed_at": string;
          "completed_at": string;
          "created_at": string;
          "error_message": string;
          "expires_at": string;
          "finished_steps": (string)[];
          "idempotency_key": string;
          "is_expired": boolean;
          "is_stuck": boolean;
          "metadata": Json;
          "response": string;
          "response_encoding": string;
          "response_headers": Json;
          "scope": string;
          "status": string;
          "status_code": number;
        }[];
      };
      "get_next_invoice_number": {
        Args: { "p_business_id": string };
        Returns: string;
      };
      "get_next_receipt_number": {
        Args: { "p_business_id": string };
        Returns: string;
      };
      "get_next_return_number": {
        Args: { "p_business_id": string };
        Returns: string;
      };
      "get_next_transfer_number": {
        Args: { "p_business_id": string };
        Returns: string;
      };
      "health_report": {
        Args: { "p_backlog_limit"?: number; "p_keys_looked_at"?: number };
        Returns: Json;
      };
      "hold_credit_balance": { Args: { "p_user_id": string }; Returns: number };
      "hold_quotation": {
        Args: { "p_id": string; "p_request_id": string };
        Returns: {
          "archived_at": string | null;
          "created_at": string;
          "currency": string;
          "customer_name": string;
          "id": string;
          "net_minor": number;
          "organization_id": string | null;
          "owner_id": string;
          "request_id": string;
          "status": string;
          "tax_minor": number;
          "total_minor": number;
          "updated_at": string;
          "user_id": string | null;
          "valid_until": string | null;
          "version": number;
        };
        SetofOptions: {
          from: "*";
          to: "quotations";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "idempotency_checkpoint": {
        Args: {
          "p_idempotency_key": string;
          "p_lease_seconds": number;
          "p_owner": string;
          "p_owner_token": string;
          "p_result": Json;
          "p_scope": string;
          "p_step": string;
        };
        Returns: Database["public"]["CompositeTypes"]["idempotency_answer"];
        SetofOptions: {
          from: "*";
          to: "idempotency_answer";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "idempotency_claim": {
        Args: {
          "p_fingerprint": string;
          "p_idempotency_key": string;
          "p_lease_seconds": number;
          "p_max_attempts"?: number;
          "p_metadata"?: Json;
          "p_on_abandoned"?: string;
          "p_owner": string;
          "p_owner_token": string;
          "p_scope": string;
          "p_third_party"?: boolean;
          "p_ttl_seconds": number;
        };
        Returns: Database["public"]["CompositeTypes"]["idempotency_answer"];
        SetofOptions: {
          from: "*";
          to: "idempotency_answer";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "idempotency_claim_many": {
        Args: {
          "p_lease_seconds": number;
          "p_max_attempts"?: number;
          "p_on_abandoned"?: string;
          "p_owner": string;
          "p_requests": Json;
          "p_scope": string;
          "p_third_party"?: boolean;
          "p_ttl_seconds": number;
        };
        Returns:
          Database["public"]["CompositeTypes"]["idempotency_item_answer"][];
        SetofOptions: {
          from: "*";
          to: "idempotency_item_answer";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "idempotency_complete": {
        Args: {
          "p_idempotency_key": string;
          "p_owner": string;
          "p_owner_token": string;
          "p_response": string;
          "p_response_encoding": string;
          "p_response_headers": Json;
          "p_scope": string;
          "p_status_code": number;
          "p_ttl_seconds"?: number;
        };
        Returns: Database["public"]["CompositeTypes"]["idempotency_answer"];
        SetofOptions: {
          from: "*";
          to: "idempotency_answer";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "idempotency_count_replays": {
        Args: { "p_count": number; "p_owner": string; "p_scope": string };
        Returns: undefined;
      };
      "idempotency_fail": {
        Args: {
          "p_error_message": string;
          "p_idempotency_key": string;
          "p_owner": string;
          "p_owner_token": string;
          "p_scope": string;
          "p_status_code"?: number;
          "p_ttl_seconds"?: number;
        };
        Returns: Database["public"]["CompositeTypes"]["idempotency_answer"];
        SetofOptions: {
          from: "*";
          to: "idempotency_answer";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "idempotency_health": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "synchronous_commit": string;
          "version": string;
          "wrong_grants": (string)[];
          "wrong_objects": (string)[];
        }[];
      };
      "idempotency_hourly_statistics": {
        Args: { "p_hours"?: number; "p_scope"?: string };
        Returns: {
          "executions": number;
          "failures": number;
          "hour": string;
          "replays": number;
        }[];
      };
      "idempotency_job_runs": {
        Args: { "p_limit"?: number };
        Returns: {
          "active": boolean;
          "ended_at": string;
          "job": string;
          "message": string;
          "schedule": string;
          "started_at": string;
          "status": string;
        }[];
      };
      "idempotency_notify": {
        Args: {
          "p_idempotency_key": string;
          "p_owner": string;
          "p_scope": string;
        };
        Returns: string;
      };
      "idempotency_read_key": {
        Args: {
          "p_idempotency_key": string;
          "p_owner": string;
          "p_scope": string;
        };
        Returns: {
          "attempt": number;
          "claimed_at": string;
          "completed_at": string;
          "crashed_attempts": Json;
          "created_at": string;
          "error_message": string;
          "expires_at": string;
          "fence": number;
          "idempotency_key": string;
          "is_expired": boolean;
          "is_stuck": boolean;
          "lease_expires_at": string;
          "metadata": Json;
          "owner": string;
          "request_fingerprint": string;
          "response": string;
          "response_bytes": number;
          "response_encoding": string;
          "response_headers": Json;
          "scope": string;
          "status": string;
          "status_code": number;
          "steps": Json;
        }[];
      };
      "idempotency_recent_keys": {
        Args: {
          "p_below_fence"?: number;
          "p_from"?: string;
          "p_idempotency_key"?: string;
          "p_limit"?: number;
          "p_owner"?: string;
          "p_scope"?: string;
          "p_status"?: string;
          "p_until"?: string;
        };
        Returns: {
          "attempt": number;
          "claimed_at": string;
          "completed_at": string;
          "error_message": string;
          "fence": number;
          "idempotency_key": string;
          "is_stuck": boolean;
          "owner": string;
          "scope": string;
          "status": string;
          "status_code": number;
        }[];
      };
      "idempotency_recount_statistics": {
        Args: Record<PropertyKey, never>;
        Returns: undefined;
      };
      "idempotency_refresh_statistics": {
        Args: { "p_most"?: number };
        Returns: {
          "as_of": string;
          "behind": number;
          "counted": number;
        }[];
      };
      "idempotency_renew": {
        Args: {
          "p_idempotency_key": string;
          "p_lease_seconds": number;
          "p_owner": string;
          "p_owner_token": string;
          "p_scope": string;
        };
        Returns: Database["public"]["CompositeTypes"]["idempotency_answer"];
        SetofOptions: {
          from: "*";
          to: "idempotency_answer";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "idempotency_resolve": {
        Args: {
          "p_idempotency_key": string;
          "p_note"?: string;
          "p_owner": string;
          "p_resolution": string;
          "p_response"?: string;
          "p_response_encoding"?: string;
          "p_response_headers"?: Json;
          "p_scope": string;
          "p_status_code"?: number;
        };
        Returns: Database["public"]["CompositeTypes"]["idempotency_answer"];
        SetofOptions: {
          from: "*";
          to: "idempotency_answer";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "idempotency_scope_statistics": {
        Args: { "p_hours"?: number; "p_limit"?: number; "p_scope"?: string };
        Returns: {
          "completed_count": number;
          "duration_p50_ms": number;
          "duration_p95_ms": number;
          "execution_count": number;
          "failed_count": number;
          "failure_count": number;
          "processing_count": number;
          "replay_count": number;
          "replay_rate": number;
          "scope": string;
          "stuck_count": number;
        }[];
      };
      "idempotency_settle_many": {
        Args: {
          "p_failed_ttl_seconds"?: number;
          "p_owner": string;
          "p_scope": string;
          "p_settlements": Json;
          "p_ttl_seconds"?: number;
        };
        Returns:
          Database["public"]["CompositeTypes"]["idempotency_item_answer"][];
        SetofOptions: {
          from: "*";
          to: "idempotency_item_answer";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "idempotency_stuck_keys": {
        Args: { "p_limit"?: number };
        Returns: {
          "attempt": number;
          "claimed_at": string;
          "crashed_attempts": Json;
          "expires_at": string;
          "idempotency_key": string;
          "lease_expires_at": string;
          "metadata": Json;
          "owner": string;
          "scope": string;
          "steps": Json;
        }[];
      };
      "idempotency_upkeep": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "about_keys": number;
          "expired_count": number;
          "expired_is_more": boolean;
          "oldest_expired_at": string;
          "statistics_as_of": string;
          "statistics_behind": number;
          "table_bytes": number;
        }[];
      };
      "lock_quotation": {
        Args: {
          "p_id": string;
          "p_request_id": string;
          "p_versions": (number)[];
        };
        Returns: {
          "archived_at": string | null;
          "created_at": string;
          "currency": string;
          "customer_name": string;
          "id": string;
          "net_minor": number;
          "organization_id": string | null;
          "owner_id": string;
          "request_id": string;
          "status": string;
          "tax_minor": number;
          "total_minor": number;
          "updated_at": string;
          "user_id": string | null;
          "valid_until": string | null;
          "version": number;
        };
        SetofOptions: {
          from: "*";
          to: "quotations";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "my_business_ids": {
        Args: { "p_roles"?: (string)[] };
        Returns: string[];
      };
      "my_organization_ids": {
        Args: { "p_roles"?: (string)[] };
        Returns: string[];
      };
      "my_owner_ids": { Args: Record<PropertyKey, never>; Returns: string[] };
      "my_recognition_address": {
        Args: Record<PropertyKey, never>;
        Returns: string;
      };
      "my_role_in": { Args: { "p_business_id": string }; Returns: string };
      "next_document_number": {
        Args: { "p_business_id": string; "p_kind": string };
        Returns: string;
      };
      "plan_of": {
        Args: { "p_user_id": string };
        Returns: {
          "event_cost": number;
          "monthly_events": number;
          "name": string;
          "participant_cost": number;
          "participants": number;
        };
        SetofOptions: {
          from: "*";
          to: "plans";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "pos_approve": {
        Args: { "p_id": string; "p_kind": string };
        Returns: Json;
      };
      "pos_hold_stock": {
        Args: {
          "p_business_id": string;
          "p_location_id": string;
          "p_product_ids": (string)[];
        };
        Returns: undefined;
      };
      "pos_import_count": {
        Args: { "p_location_id": string; "p_request": Json };
        Returns: Json;
      };
      "pos_lines": {
        Args: { "p_lines": Json };
        Returns: (Database["public"]["CompositeTypes"]["pos_line"])[];
      };
      "pos_move_stock": {
        Args: {
          "p_business_id": string;
          "p_document_id": string;
          "p_lines": (Database["public"]["CompositeTypes"]["pos_line"])[];
          "p_location_id": string;
          "p_reason": string;
        };
        Returns: undefined;
      };
      "pos_move_transfer": {
        Args: { "p_to_status": string; "p_transfer_id": string };
        Returns: Json;
      };
      "pos_next_serial": {
        Args: { "p_business_id": string; "p_permit_number": string };
        Returns: number;
      };
      "pos_payments": {
        Args: { "p_payments": Json; "p_total": number };
        Returns: Json;
      };
      "pos_perform": {
        Args: {
          "p_fingerprint": string;
          "p_idempotency_key": string;
          "p_operation": string;
          "p_request"?: Json;
          "p_subject_id"?: string;
        };
        Returns: Database["public"]["CompositeTypes"]["idempotency_answer"];
        SetofOptions: {
          from: "*";
          to: "idempotency_answer";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "pos_record_sale": { Args: { "p_request": Json }; Returns: Json };
      "pos_refund_sale": {
        Args: { "p_request": Json; "p_sale_id": string };
        Returns: Json;
      };
      "pos_refuse": {
        Args: {
          "p_code": string;
          "p_detail": string;
          "p_extensions"?: Json;
          "p_status": number;
          "p_title": string;
        };
        Returns: undefined;
      };
      "pos_register_business": {
        Args: { "p_business_id": string; "p_request": Json };
        Returns: Json;
      };
      "pos_seller": {
        Args: {
          "p_registration": Omit<
            Database["public"]["Tables"]["tax_registrations"]["Row"],
            Database["public"]["Tables"]["tax_registrations"]["ComputedFields"]
          >;
        };
        Returns: Json;
      };
      "pos_tax_in": {
        Args: { "p_amount": number; "p_tax_rate": number };
        Returns: number;
      };
      "quotation_document": { Args: { "p_id": string }; Returns: Json };
      "quotation_may_become": {
        Args: { "p_from": string; "p_to": string };
        Returns: boolean;
      };
      "read_processed_documents": {
        Args: { "p_document_ids": (string)[]; "p_max_characters": number };
        Returns: {
          "characters": number;
          "content": string;
          "id": string;
          "mime_type": string;
          "title": string;
        }[];
      };
      "require_membership": {
        Args: { "p_organization_id": string };
        Returns: undefined;
      };
      "reserve_gpu_hours": {
        Args: {
          "p_fingerprint": string;
          "p_hours": number;
          "p_idempotency_key": string;
          "p_pool_id": string;
        };
        Returns: Database["public"]["CompositeTypes"]["idempotency_answer"];
        SetofOptions: {
          from: "*";
          to: "idempotency_answer";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "send_recognition": {
        Args: {
          "p_category": string;
          "p_message": string;
          "p_points": number;
          "p_recipient_address": string;
          "p_recipient_id"?: string;
          "p_request_id": string;
          "p_tags"?: (string)[];
        };
        Returns: {
          "category": string | null;
          "created_at": string;
          "id": string;
          "message": string;
          "points": number;
          "recipient_address": string | null;
          "recipient_id": string;
          "request_id": string;
          "sender_id": string;
          "tags": (string)[];
        };
        SetofOptions: {
          from: "*";
          to: "recognitions";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "share_recognition": {
        Args: {
          "p_evidence_weight": number;
          "p_recipient_address": string;
          "p_recipient_id": string;
          "p_recognition_id": string;
          "p_request_id": string;
        };
        Returns: {
          "created_at": string;
          "evidence_weight": number;
          "recipient_address": string | null;
          "recipient_id": string;
          "recognition_id": string;
          "request_id": string;
          "shared_by_id": string;
        };
        SetofOptions: {
          from: "*";
          to: "recognition_shares";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "store_processed_document": {
        Args: {
          "p_chunks": Json;
          "p_document_id": string;
          "p_request_id"?: string;
        };
        Returns: string;
      };
      "store_training_dataset": {
        Args: {
          "p_content": string;
          "p_document_ids": (string)[];
          "p_encoding": string;
          "p_examples": number;
          "p_format": string;
          "p_request_id"?: string;
          "p_tokens": number;
        };
        Returns: string;
      };
      "store_uploaded_document": {
        Args: {
          "p_chunks": Json;
          "p_content": string;
          "p_mime_type": string;
          "p_request_id"?: string;
          "p_title": string;
        };
        Returns: {
          "document_id": string;
          "job_id": string;
        }[];
      };
      "transfer_organization": {
        Args: { "p_organization_id": string; "p_user_id": string };
        Returns: undefined;
      };
      "unique_among_live_rows": {
        Args: { "p_table": unknown; "p_unique_for_ever": (string)[] };
        Returns: undefined;
      };
      "update_event": {
        Args: {
          "p_changes": Json;
          "p_confirm_credit"?: boolean;
          "p_event_id": string;
          "p_max_cost"?: number;
          "p_request_id": string;
          "p_version": number;
        };
        Returns: Json;
      };
      "update_quotation": {
        Args: {
          "p_changes": Json;
          "p_id": string;
          "p_request_id": string;
          "p_versions": (number)[];
        };
        Returns: Json;
      };
      "write_quotation_lines": {
        Args: { "p_id": string; "p_lines": Json };
        Returns: undefined;
      };
    };
    Enums: {
      [_ in never]: never;
    };
    CompositeTypes: {
      "idempotency_answer": {
        "outcome": string | null;
        "attempt": number | null;
        "fence": number | null;
        "retry_after_seconds": number | null;
        "status_code": number | null;
        "response": string | null;
        "response_encoding": string | null;
        "response_headers": Json | null;
        "steps": Json | null;
        "completed_at": string | null;
      };
      "idempotency_item_answer": {
        "idempotency_key": string | null;
        "outcome": string | null;
        "attempt": number | null;
        "fence": number | null;
        "retry_after_seconds": number | null;
        "status_code": number | null;
        "response": string | null;
        "response_encoding": string | null;
        "response_headers": Json | null;
        "steps": Json | null;
        "completed_at": string | null;
        "error_code": string | null;
        "error_message": string | null;
      };
      "pos_line": {
        "product_id": string | null;
        "quantity": number | null;
      };
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">;

type DefaultSchema =
  DatabaseWithoutInternals[Extract<keyof Database, "public">];

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof (
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
        "Tables"
      ]
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
        "Views"
      ]
    )
    : never = never,
> = DefaultSchemaTableNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals } ? (
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
      "Tables"
    ]
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
      "Views"
    ]
  )[TableName] extends {
    Row: infer R;
  } ? R
  : never
  : DefaultSchemaTableNameOrOptions extends
    keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[
      DefaultSchemaTableNameOrOptions
    ] extends {
      Row: infer R;
    } ? R
    : never
  : never;

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
      "Tables"
    ]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
    "Tables"
  ][TableName] extends {
    Insert: infer I;
  } ? I
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I;
    } ? I
    : never
  : never;

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
      "Tables"
    ]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]][
    "Tables"
  ][TableName] extends {
    Update: infer U;
  } ? U
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U;
    } ? U
    : never
  : never;

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]][
      "Enums"
    ]
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][
    EnumName
  ]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never;

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[
      PublicCompositeTypeNameOrOptions["schema"]
    ]["CompositeTypes"]
    : never = never,
> = PublicCompositeTypeNameOrOptions extends
  { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]][
    "CompositeTypes"
  ][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends
    keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never;

export const Constants = {
  "public": {
    Enums: {},
  },
} as const;
