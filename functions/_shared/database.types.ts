// Generated from the migrations: npm run generate

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type Database = {
  public: {
    Tables: {
      contacts: {
        Row: {
          created_at: string
          customer_id: string
          email: string | null
          external_id: string
          first_name: string | null
          id: string
          is_primary: boolean
          job_title: string | null
          last_name: string
          notes: string | null
          org_id: string
          phone: string | null
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          customer_id: string
          email?: string | null
          external_id: string
          first_name?: string | null
          id?: string
          is_primary?: boolean
          job_title?: string | null
          last_name: string
          notes?: string | null
          org_id: string
          phone?: string | null
          updated_at?: string
        }
        Update: {
          created_at?: string
          customer_id?: string
          email?: string | null
          external_id?: string
          first_name?: string | null
          id?: string
          is_primary?: boolean
          job_title?: string | null
          last_name?: string
          notes?: string | null
          org_id?: string
          phone?: string | null
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'contacts_customer_id_fkey'
            columns: ['org_id', 'customer_id']
            isOneToOne: false
            referencedRelation: 'customers'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'contacts_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'contacts_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      customers: {
        Row: {
          city: string | null
          country: string | null
          created_at: string
          credit_limit: number | null
          email: string | null
          external_id: string
          id: string
          is_active: boolean
          name: string
          notes: string | null
          org_id: string
          phone: string | null
          postal_code: string | null
          segment: string | null
          signup_date: string | null
          street: string | null
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          city?: string | null
          country?: string | null
          created_at?: string
          credit_limit?: number | null
          email?: string | null
          external_id: string
          id?: string
          is_active?: boolean
          name: string
          notes?: string | null
          org_id: string
          phone?: string | null
          postal_code?: string | null
          segment?: string | null
          signup_date?: string | null
          street?: string | null
          updated_at?: string
        }
        Update: {
          city?: string | null
          country?: string | null
          created_at?: string
          credit_limit?: number | null
          email?: string | null
          external_id?: string
          id?: string
          is_active?: boolean
          name?: string
          notes?: string | null
          org_id?: string
          phone?: string | null
          postal_code?: string | null
          segment?: string | null
          signup_date?: string | null
          street?: string | null
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'customers_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'customers_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      dataset_fields: {
        Row: {
          aliases: string[]
          chunk_rows: number | null
          column_name: string
          dataset: string
          is_required: boolean
          is_secret: boolean
          label: string
          name: string
          position: number
          reference: Json | null
          rules: NonNullable<Json>
          type: string
        }
        ComputedFields: never
        Insert: {
          aliases?: string[]
          chunk_rows?: number | null
          column_name: string
          dataset: string
          is_required: boolean
          is_secret?: boolean
          label: string
          name: string
          position: number
          reference?: Json | null
          rules?: NonNullable<Json>
          type: string
        }
        Update: {
          aliases?: string[]
          chunk_rows?: number | null
          column_name?: string
          dataset?: string
          is_required?: boolean
          is_secret?: boolean
          label?: string
          name?: string
          position?: number
          reference?: Json | null
          rules?: NonNullable<Json>
          type?: string
        }
        Relationships: [
          {
            foreignKeyName: 'dataset_fields_dataset_fkey'
            columns: ['dataset']
            isOneToOne: false
            referencedRelation: 'datasets'
            referencedColumns: ['key']
          },
        ]
      }
      datasets: {
        Row: {
          allowed_modes: Database['public']['Enums']['import_mode'][]
          apply_function: string | null
          check_function: string | null
          created_at: string
          entity_type: Database['public']['Enums']['sync_entity_type']
          group_field: string | null
          id_column: string
          key: string
          key_fields: string[]
          label: string
          lines: string | null
          org_column: string | null
          position: number
          required_role: Database['public']['Enums']['org_role']
          target: string
        }
        ComputedFields: never
        Insert: {
          allowed_modes: Database['public']['Enums']['import_mode'][]
          apply_function?: string | null
          check_function?: string | null
          created_at?: string
          entity_type: Database['public']['Enums']['sync_entity_type']
          group_field?: string | null
          id_column: string
          key: string
          key_fields: string[]
          label: string
          lines?: string | null
          org_column?: string | null
          position: number
          required_role?: Database['public']['Enums']['org_role']
          target: string
        }
        Update: {
          allowed_modes?: Database['public']['Enums']['import_mode'][]
          apply_function?: string | null
          check_function?: string | null
          created_at?: string
          entity_type?: Database['public']['Enums']['sync_entity_type']
          group_field?: string | null
          id_column?: string
          key?: string
          key_fields?: string[]
          label?: string
          lines?: string | null
          org_column?: string | null
          position?: number
          required_role?: Database['public']['Enums']['org_role']
          target?: string
        }
        Relationships: []
      }
      delivery_routes: {
        Row: {
          created_at: string
          departs_at: string | null
          driver: string | null
          id: string
          org_id: string
          route_number: string
          scheduled_on: string
          start_location_id: string
          status: string
          updated_at: string
          vehicle: string | null
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          departs_at?: string | null
          driver?: string | null
          id?: string
          org_id: string
          route_number: string
          scheduled_on: string
          start_location_id: string
          status?: string
          updated_at?: string
          vehicle?: string | null
        }
        Update: {
          created_at?: string
          departs_at?: string | null
          driver?: string | null
          id?: string
          org_id?: string
          route_number?: string
          scheduled_on?: string
          start_location_id?: string
          status?: string
          updated_at?: string
          vehicle?: string | null
        }
        Relationships: [
          {
            foreignKeyName: 'delivery_routes_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'delivery_routes_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'delivery_routes_start_location_id_fkey'
            columns: ['org_id', 'start_location_id']
            isOneToOne: false
            referencedRelation: 'warehouse_locations'
            referencedColumns: ['org_id', 'id']
          },
        ]
      }
      delivery_stops: {
        Row: {
          arrives_from: string | null
          arrives_until: string | null
          created_at: string
          customer_id: string
          id: string
          instructions: string | null
          org_id: string
          outcome: string | null
          route_id: string
          stop_number: number
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          arrives_from?: string | null
          arrives_until?: string | null
          created_at?: string
          customer_id: string
          id?: string
          instructions?: string | null
          org_id: string
          outcome?: string | null
          route_id: string
          stop_number: number
          updated_at?: string
        }
        Update: {
          arrives_from?: string | null
          arrives_until?: string | null
          created_at?: string
          customer_id?: string
          id?: string
          instructions?: string | null
          org_id?: string
          outcome?: string | null
          route_id?: string
          stop_number?: number
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'delivery_stops_customer_id_fkey'
            columns: ['org_id', 'customer_id']
            isOneToOne: false
            referencedRelation: 'customers'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'delivery_stops_route_id_fkey'
            columns: ['org_id', 'route_id']
            isOneToOne: false
            referencedRelation: 'delivery_routes'
            referencedColumns: ['org_id', 'id']
          },
        ]
      }
      import_batches: {
        Row: {
          byte_size: number | null
          columns: string[] | null
          content_hash: string | null
          corrects: string | null
          created_at: string
          dataset: string
          depends_on: string[]
          duplicate_of: string | null
          error: Json | null
          file_name: string | null
          finished_at: string | null
          format: Json | null
          id: string
          idempotency_key: string | null
          initiated_by: string | null
          invalid_count: number | null
          issue_counts: NonNullable<Json>
          mapping: Json | null
          mode: Database['public']['Enums']['import_mode']
          options: NonNullable<Json>
          org_id: string
          redacted_at: string | null
          row_count: number | null
          sample: Json | null
          set_id: string | null
          skipped_count: number | null
          source: string
          staged_at: string | null
          staged_on: string
          status: Database['public']['Enums']['import_status']
          storage_path: string | null
          suggested_mapping: Json | null
          template_id: string | null
          validated_at: string | null
        }
        ComputedFields: never
        Insert: {
          byte_size?: number | null
          columns?: string[] | null
          content_hash?: string | null
          corrects?: string | null
          created_at?: string
          dataset: string
          depends_on?: string[]
          duplicate_of?: string | null
          error?: Json | null
          file_name?: string | null
          finished_at?: string | null
          format?: Json | null
          id?: string
          idempotency_key?: string | null
          initiated_by?: string | null
          invalid_count?: number | null
          issue_counts?: NonNullable<Json>
          mapping?: Json | null
          mode: Database['public']['Enums']['import_mode']
          options?: NonNullable<Json>
          org_id: string
          redacted_at?: string | null
          row_count?: number | null
          sample?: Json | null
          set_id?: string | null
          skipped_count?: number | null
          source: string
          staged_at?: string | null
          staged_on?: string
          status?: Database['public']['Enums']['import_status']
          storage_path?: string | null
          suggested_mapping?: Json | null
          template_id?: string | null
          validated_at?: string | null
        }
        Update: {
          byte_size?: number | null
          columns?: string[] | null
          content_hash?: string | null
          corrects?: string | null
          created_at?: string
          dataset?: string
          depends_on?: string[]
          duplicate_of?: string | null
          error?: Json | null
          file_name?: string | null
          finished_at?: string | null
          format?: Json | null
          id?: string
          idempotency_key?: string | null
          initiated_by?: string | null
          invalid_count?: number | null
          issue_counts?: NonNullable<Json>
          mapping?: Json | null
          mode?: Database['public']['Enums']['import_mode']
          options?: NonNullable<Json>
          org_id?: string
          redacted_at?: string | null
          row_count?: number | null
          sample?: Json | null
          set_id?: string | null
          skipped_count?: number | null
          source?: string
          staged_at?: string | null
          staged_on?: string
          status?: Database['public']['Enums']['import_status']
          storage_path?: string | null
          suggested_mapping?: Json | null
          template_id?: string | null
          validated_at?: string | null
        }
        Relationships: [
          {
            foreignKeyName: 'import_batches_corrects_fkey'
            columns: ['corrects']
            isOneToOne: false
            referencedRelation: 'import_batches'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'import_batches_corrects_fkey'
            columns: ['corrects']
            isOneToOne: false
            referencedRelation: 'monitor_imports'
            referencedColumns: ['import_id']
          },
          {
            foreignKeyName: 'import_batches_dataset_fkey'
            columns: ['dataset']
            isOneToOne: false
            referencedRelation: 'datasets'
            referencedColumns: ['key']
          },
          {
            foreignKeyName: 'import_batches_duplicate_of_fkey'
            columns: ['duplicate_of']
            isOneToOne: false
            referencedRelation: 'import_batches'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'import_batches_duplicate_of_fkey'
            columns: ['duplicate_of']
            isOneToOne: false
            referencedRelation: 'monitor_imports'
            referencedColumns: ['import_id']
          },
          {
            foreignKeyName: 'import_batches_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'import_batches_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'import_batches_set_id_fkey'
            columns: ['set_id']
            isOneToOne: false
            referencedRelation: 'import_sets'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'import_batches_template_id_fkey'
            columns: ['template_id']
            isOneToOne: false
            referencedRelation: 'import_templates'
            referencedColumns: ['id']
          },
        ]
      }
      import_session_shares: {
        Row: {
          created_at: string
          session_id: string
          user_id: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          session_id: string
          user_id: string
        }
        Update: {
          created_at?: string
          session_id?: string
          user_id?: string
        }
        Relationships: [
          {
            foreignKeyName: 'import_session_shares_session_id_fkey'
            columns: ['session_id']
            isOneToOne: false
            referencedRelation: 'import_sessions'
            referencedColumns: ['id']
          },
        ]
      }
      import_sessions: {
        Row: {
          batch_id: string | null
          content_hash: string | null
          created_at: string
          created_by: string | null
          current_step: string
          file_name: string | null
          header_hash: string | null
          id: string
          last_accessed_at: string
          org_id: string
          state: NonNullable<Json>
          status: Database['public']['Enums']['session_status']
        }
        ComputedFields: never
        Insert: {
          batch_id?: string | null
          content_hash?: string | null
          created_at?: string
          created_by?: string | null
          current_step?: string
          file_name?: string | null
          header_hash?: string | null
          id?: string
          last_accessed_at?: string
          org_id: string
          state?: NonNullable<Json>
          status?: Database['public']['Enums']['session_status']
        }
        Update: {
          batch_id?: string | null
          content_hash?: string | null
          created_at?: string
          created_by?: string | null
          current_step?: string
          file_name?: string | null
          header_hash?: string | null
          id?: string
          last_accessed_at?: string
          org_id?: string
          state?: NonNullable<Json>
          status?: Database['public']['Enums']['session_status']
        }
        Relationships: [
          {
            foreignKeyName: 'import_sessions_batch_id_fkey'
            columns: ['batch_id']
            isOneToOne: false
            referencedRelation: 'import_batches'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'import_sessions_batch_id_fkey'
            columns: ['batch_id']
            isOneToOne: false
            referencedRelation: 'monitor_imports'
            referencedColumns: ['import_id']
          },
          {
            foreignKeyName: 'import_sessions_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'import_sessions_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      import_sets: {
        Row: {
          created_at: string
          created_by: string | null
          id: string
          idempotency_key: string | null
          name: string | null
          org_id: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          created_by?: string | null
          id?: string
          idempotency_key?: string | null
          name?: string | null
          org_id: string
        }
        Update: {
          created_at?: string
          created_by?: string | null
          id?: string
          idempotency_key?: string | null
          name?: string | null
          org_id?: string
        }
        Relationships: [
          {
            foreignKeyName: 'import_sets_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'import_sets_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      import_templates: {
        Row: {
          archived_at: string | null
          columns: string[]
          config: NonNullable<Json>
          created_at: string
          created_by: string | null
          dataset: string
          description: string | null
          header_hash: string
          id: string
          name: string
          org_id: string | null
          replaced_at: string | null
          version: number
        }
        ComputedFields: never
        Insert: {
          archived_at?: string | null
          columns: string[]
          config: NonNullable<Json>
          created_at?: string
          created_by?: string | null
          dataset: string
          description?: string | null
          header_hash?: never
          id?: string
          name: string
          org_id?: string | null
          replaced_at?: string | null
          version: number
        }
        Update: {
          archived_at?: string | null
          columns?: string[]
          config?: NonNullable<Json>
          created_at?: string
          created_by?: string | null
          dataset?: string
          description?: string | null
          header_hash?: never
          id?: string
          name?: string
          org_id?: string | null
          replaced_at?: string | null
          version?: number
        }
        Relationships: [
          {
            foreignKeyName: 'import_templates_dataset_fkey'
            columns: ['dataset']
            isOneToOne: false
            referencedRelation: 'datasets'
            referencedColumns: ['key']
          },
          {
            foreignKeyName: 'import_templates_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'import_templates_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      inventory_levels: {
        Row: {
          available: number
          counted_on: string | null
          created_at: string
          id: string
          location_id: string
          org_id: string
          product_id: string
          quantity: number
          reorder_level: number | null
          reserved: number
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          available?: never
          counted_on?: string | null
          created_at?: string
          id?: string
          location_id: string
          org_id: string
          product_id: string
          quantity: number
          reorder_level?: number | null
          reserved?: number
          updated_at?: string
        }
        Update: {
          available?: never
          counted_on?: string | null
          created_at?: string
          id?: string
          location_id?: string
          org_id?: string
          product_id?: string
          quantity?: number
          reorder_level?: number | null
          reserved?: number
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'inventory_levels_location_id_fkey'
            columns: ['org_id', 'location_id']
            isOneToOne: false
            referencedRelation: 'warehouse_locations'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'inventory_levels_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'inventory_levels_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'inventory_levels_product_id_fkey'
            columns: ['org_id', 'product_id']
            isOneToOne: false
            referencedRelation: 'products'
            referencedColumns: ['org_id', 'id']
          },
        ]
      }
      invoice_lines: {
        Row: {
          created_at: string
          description: string | null
          id: string
          invoice_id: string
          line_number: number
          line_total: number
          org_id: string
          product_id: string | null
          quantity: number
          tax_amount: number
          tax_percent: number | null
          unit_price: number
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          description?: string | null
          id?: string
          invoice_id: string
          line_number: number
          line_total?: never
          org_id: string
          product_id?: string | null
          quantity: number
          tax_amount?: never
          tax_percent?: number | null
          unit_price: number
          updated_at?: string
        }
        Update: {
          created_at?: string
          description?: string | null
          id?: string
          invoice_id?: string
          line_number?: number
          line_total?: never
          org_id?: string
          product_id?: string | null
          quantity?: number
          tax_amount?: never
          tax_percent?: number | null
          unit_price?: number
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'invoice_lines_invoice_id_fkey'
            columns: ['org_id', 'invoice_id']
            isOneToOne: false
            referencedRelation: 'invoices'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'invoice_lines_product_id_fkey'
            columns: ['org_id', 'product_id']
            isOneToOne: false
            referencedRelation: 'products'
            referencedColumns: ['org_id', 'id']
          },
        ]
      }
      invoices: {
        Row: {
          created_at: string
          currency: string
          customer_id: string
          due_on: string | null
          id: string
          invoice_number: string
          issued_on: string
          notes: string | null
          order_id: string | null
          org_id: string
          status: string
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          currency: string
          customer_id: string
          due_on?: string | null
          id?: string
          invoice_number: string
          issued_on: string
          notes?: string | null
          order_id?: string | null
          org_id: string
          status?: string
          updated_at?: string
        }
        Update: {
          created_at?: string
          currency?: string
          customer_id?: string
          due_on?: string | null
          id?: string
          invoice_number?: string
          issued_on?: string
          notes?: string | null
          order_id?: string | null
          org_id?: string
          status?: string
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'invoices_customer_id_fkey'
            columns: ['org_id', 'customer_id']
            isOneToOne: false
            referencedRelation: 'customers'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'invoices_order_id_fkey'
            columns: ['org_id', 'order_id']
            isOneToOne: false
            referencedRelation: 'orders'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'invoices_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'invoices_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      order_lines: {
        Row: {
          created_at: string
          discount_percent: number | null
          id: string
          line_number: number
          line_total: number
          order_id: string
          org_id: string
          product_id: string
          quantity: number
          unit_price: number
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          discount_percent?: number | null
          id?: string
          line_number: number
          line_total?: never
          order_id: string
          org_id: string
          product_id: string
          quantity: number
          unit_price: number
          updated_at?: string
        }
        Update: {
          created_at?: string
          discount_percent?: number | null
          id?: string
          line_number?: number
          line_total?: never
          order_id?: string
          org_id?: string
          product_id?: string
          quantity?: number
          unit_price?: number
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'order_lines_order_id_fkey'
            columns: ['org_id', 'order_id']
            isOneToOne: false
            referencedRelation: 'orders'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'order_lines_product_id_fkey'
            columns: ['org_id', 'product_id']
            isOneToOne: false
            referencedRelation: 'products'
            referencedColumns: ['org_id', 'id']
          },
        ]
      }
      orders: {
        Row: {
          created_at: string
          currency: string
          customer_id: string
          customer_reference: string | null
          id: string
          notes: string | null
          order_number: string
          ordered_on: string
          org_id: string
          requested_on: string | null
          shipping_cost: number | null
          status: string
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          currency: string
          customer_id: string
          customer_reference?: string | null
          id?: string
          notes?: string | null
          order_number: string
          ordered_on: string
          org_id: string
          requested_on?: string | null
          shipping_cost?: number | null
          status?: string
          updated_at?: string
        }
        Update: {
          created_at?: string
          currency?: string
          customer_id?: string
          customer_reference?: string | null
          id?: string
          notes?: string | null
          order_number?: string
          ordered_on?: string
          org_id?: string
          requested_on?: string | null
          shipping_cost?: number | null
          status?: string
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'orders_customer_id_fkey'
            columns: ['org_id', 'customer_id']
            isOneToOne: false
            referencedRelation: 'customers'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'orders_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'orders_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      organization: {
        Row: {
          created_at: string
          description: string | null
          id: string
          is_active: boolean
          name: string
          slug: string
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          description?: string | null
          id?: string
          is_active?: boolean
          name: string
          slug: string
          updated_at?: string
        }
        Update: {
          created_at?: string
          description?: string | null
          id?: string
          is_active?: boolean
          name?: string
          slug?: string
          updated_at?: string
        }
        Relationships: []
      }
      payments: {
        Row: {
          amount: number
          bank_reference: string | null
          created_at: string
          currency: string
          id: string
          invoice_id: string | null
          method: string | null
          notes: string | null
          order_id: string | null
          org_id: string
          paid_on: string
          payment_number: string
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          amount: number
          bank_reference?: string | null
          created_at?: string
          currency: string
          id?: string
          invoice_id?: string | null
          method?: string | null
          notes?: string | null
          order_id?: string | null
          org_id: string
          paid_on: string
          payment_number: string
          updated_at?: string
        }
        Update: {
          amount?: number
          bank_reference?: string | null
          created_at?: string
          currency?: string
          id?: string
          invoice_id?: string | null
          method?: string | null
          notes?: string | null
          order_id?: string | null
          org_id?: string
          paid_on?: string
          payment_number?: string
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'payments_invoice_id_fkey'
            columns: ['org_id', 'invoice_id']
            isOneToOne: false
            referencedRelation: 'invoices'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'payments_order_id_fkey'
            columns: ['org_id', 'order_id']
            isOneToOne: false
            referencedRelation: 'orders'
            referencedColumns: ['org_id', 'id']
          },
          {
            foreignKeyName: 'payments_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'payments_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      products: {
        Row: {
          barcode: string | null
          category: string | null
          created_at: string
          currency: string
          description: string | null
          id: string
          is_active: boolean
          name: string
          org_id: string
          sku: string
          unit_price: number
          updated_at: string
          weight_kg: number | null
        }
        ComputedFields: never
        Insert: {
          barcode?: string | null
          category?: string | null
          created_at?: string
          currency?: string
          description?: string | null
          id?: string
          is_active?: boolean
          name: string
          org_id: string
          sku: string
          unit_price: number
          updated_at?: string
          weight_kg?: number | null
        }
        Update: {
          barcode?: string | null
          category?: string | null
          created_at?: string
          currency?: string
          description?: string | null
          id?: string
          is_active?: boolean
          name?: string
          org_id?: string
          sku?: string
          unit_price?: number
          updated_at?: string
          weight_kg?: number | null
        }
        Relationships: [
          {
            foreignKeyName: 'products_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'products_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      profiles: {
        Row: {
          avatar_url: string | null
          created_at: string
          email: string | null
          full_name: string | null
          id: string
          is_active: boolean
          is_system_admin: boolean
          org_id: string | null
          org_role: Database['public']['Enums']['org_role']
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          avatar_url?: string | null
          created_at?: string
          email?: string | null
          full_name?: string | null
          id: string
          is_active?: boolean
          is_system_admin?: boolean
          org_id?: string | null
          org_role?: Database['public']['Enums']['org_role']
          updated_at?: string
        }
        Update: {
          avatar_url?: string | null
          created_at?: string
          email?: string | null
          full_name?: string | null
          id?: string
          is_active?: boolean
          is_system_admin?: boolean
          org_id?: string | null
          org_role?: Database['public']['Enums']['org_role']
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'profiles_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'profiles_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      scheduled_jobs: {
        Row: {
          actor: string | null
          batch_id: string | null
          cancel_requested_at: string | null
          claims: NonNullable<Json>
          created_at: string
          created_by: string | null
          done_count: number
          entity_type: Database['public']['Enums']['sync_entity_type']
          error: Json | null
          failed_count: number
          finished_at: string | null
          id: string
          idempotency_key: string | null
          job_type: string
          org_id: string
          params: NonNullable<Json>
          phase: string | null
          priority: number
          result: Json | null
          run_as: Database['public']['Enums']['job_run_as']
          run_at: string
          running_since: string | null
          started_at: string | null
          status: Database['public']['Enums']['sync_status_type']
          total_count: number
        }
        ComputedFields: never
        Insert: {
          actor?: string | null
          batch_id?: string | null
          cancel_requested_at?: string | null
          claims: NonNullable<Json>
          created_at?: string
          created_by?: string | null
          done_count?: number
          entity_type?: Database['public']['Enums']['sync_entity_type']
          error?: Json | null
          failed_count?: number
          finished_at?: string | null
          id?: string
          idempotency_key?: string | null
          job_type: string
          org_id: string
          params?: NonNullable<Json>
          phase?: string | null
          priority?: number
          result?: Json | null
          run_as: Database['public']['Enums']['job_run_as']
          run_at?: string
          running_since?: string | null
          started_at?: string | null
          status?: Database['public']['Enums']['sync_status_type']
          total_count?: number
        }
        Update: {
          actor?: string | null
          batch_id?: string | null
          cancel_requested_at?: string | null
          claims?: NonNullable<Json>
          created_at?: string
          created_by?: string | null
          done_count?: number
          entity_type?: Database['public']['Enums']['sync_entity_type']
          error?: Json | null
          failed_count?: number
          finished_at?: string | null
          id?: string
          idempotency_key?: string | null
          job_type?: string
          org_id?: string
          params?: NonNullable<Json>
          phase?: string | null
          priority?: number
          result?: Json | null
          run_as?: Database['public']['Enums']['job_run_as']
          run_at?: string
          running_since?: string | null
          started_at?: string | null
          status?: Database['public']['Enums']['sync_status_type']
          total_count?: number
        }
        Relationships: [
          {
            foreignKeyName: 'scheduled_jobs_batch_id_fkey'
            columns: ['batch_id']
            isOneToOne: false
            referencedRelation: 'import_batches'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'scheduled_jobs_batch_id_fkey'
            columns: ['batch_id']
            isOneToOne: false
            referencedRelation: 'monitor_imports'
            referencedColumns: ['import_id']
          },
          {
            foreignKeyName: 'scheduled_jobs_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'scheduled_jobs_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      sync_activity_log: {
        Row: {
          action: Database['public']['Enums']['sync_action']
          created_at: string
          details: NonNullable<Json>
          entity_type: Database['public']['Enums']['sync_entity_type']
          error_message: string | null
          id: string
          org_id: string
          status: Database['public']['Enums']['sync_status_type']
          sync_id: string | null
          user_id: string | null
        }
        ComputedFields: never
        Insert: {
          action: Database['public']['Enums']['sync_action']
          created_at?: string
          details?: NonNullable<Json>
          entity_type: Database['public']['Enums']['sync_entity_type']
          error_message?: string | null
          id?: string
          org_id: string
          status: Database['public']['Enums']['sync_status_type']
          sync_id?: string | null
          user_id?: string | null
        }
        Update: {
          action?: Database['public']['Enums']['sync_action']
          created_at?: string
          details?: NonNullable<Json>
          entity_type?: Database['public']['Enums']['sync_entity_type']
          error_message?: string | null
          id?: string
          org_id?: string
          status?: Database['public']['Enums']['sync_status_type']
          sync_id?: string | null
          user_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: 'sync_activity_log_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_activity_log_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      sync_error_log: {
        Row: {
          at: string
          attempt: number | null
          context: string | null
          detail: string | null
          hint: string | null
          id: number
          job_id: string
          message: string
          org_id: string
          sqlstate: string
          task_id: number | null
        }
        ComputedFields: never
        Insert: {
          at?: string
          attempt?: number | null
          context?: string | null
          detail?: string | null
          hint?: string | null
          id?: never
          job_id: string
          message: string
          org_id: string
          sqlstate: string
          task_id?: number | null
        }
        Update: {
          at?: string
          attempt?: number | null
          context?: string | null
          detail?: string | null
          hint?: string | null
          id?: never
          job_id?: string
          message?: string
          org_id?: string
          sqlstate?: string
          task_id?: number | null
        }
        Relationships: [
          {
            foreignKeyName: 'sync_error_log_job_id_fkey'
            columns: ['job_id']
            isOneToOne: false
            referencedRelation: 'monitor_jobs'
            referencedColumns: ['job_id']
          },
          {
            foreignKeyName: 'sync_error_log_job_id_fkey'
            columns: ['job_id']
            isOneToOne: false
            referencedRelation: 'scheduled_jobs'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'sync_error_log_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_error_log_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      sync_job_queue: {
        Row: {
          args: NonNullable<Json>
          attempts: number
          claimed_at: string | null
          claimed_by: number | null
          created_at: string
          from_row: number
          id: number
          job_id: string
          next_attempt_at: string
          org_id: string
          priority: number
          status: Database['public']['Enums']['task_status']
          task_type: string
          to_row: number
          token: string | null
        }
        ComputedFields: never
        Insert: {
          args?: NonNullable<Json>
          attempts?: number
          claimed_at?: string | null
          claimed_by?: number | null
          created_at?: string
          from_row: number
          id?: never
          job_id: string
          next_attempt_at?: string
          org_id: string
          priority?: number
          status?: Database['public']['Enums']['task_status']
          task_type: string
          to_row: number
          token?: string | null
        }
        Update: {
          args?: NonNullable<Json>
          attempts?: number
          claimed_at?: string | null
          claimed_by?: number | null
          created_at?: string
          from_row?: number
          id?: never
          job_id?: string
          next_attempt_at?: string
          org_id?: string
          priority?: number
          status?: Database['public']['Enums']['task_status']
          task_type?: string
          to_row?: number
          token?: string | null
        }
        Relationships: [
          {
            foreignKeyName: 'sync_job_queue_job_id_fkey'
            columns: ['job_id']
            isOneToOne: false
            referencedRelation: 'monitor_jobs'
            referencedColumns: ['job_id']
          },
          {
            foreignKeyName: 'sync_job_queue_job_id_fkey'
            columns: ['job_id']
            isOneToOne: false
            referencedRelation: 'scheduled_jobs'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'sync_job_queue_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_job_queue_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      sync_preview_cache: {
        Row: {
          cache_key: string
          created_at: string
          entity_type: Database['public']['Enums']['sync_entity_type']
          expires_at: string
          id: string
          org_id: string
          preview_data: NonNullable<Json>
          sync_type: Database['public']['Enums']['sync_type']
        }
        ComputedFields: never
        Insert: {
          cache_key: string
          created_at?: string
          entity_type: Database['public']['Enums']['sync_entity_type']
          expires_at?: string
          id?: string
          org_id: string
          preview_data: NonNullable<Json>
          sync_type: Database['public']['Enums']['sync_type']
        }
        Update: {
          cache_key?: string
          created_at?: string
          entity_type?: Database['public']['Enums']['sync_entity_type']
          expires_at?: string
          id?: string
          org_id?: string
          preview_data?: NonNullable<Json>
          sync_type?: Database['public']['Enums']['sync_type']
        }
        Relationships: [
          {
            foreignKeyName: 'sync_preview_cache_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_preview_cache_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      sync_progress: {
        Row: {
          completed_at: string | null
          current_item: number
          elapsed_seconds: number
          entity_type: Database['public']['Enums']['sync_entity_type']
          eta_seconds: number | null
          failed_count: number
          id: string
          org_id: string
          processed_count: number
          source_system: string
          speed_items_per_min: number | null
          started_at: string
          status: Database['public']['Enums']['sync_status_type']
          sync_id: string
          total_items: number
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          completed_at?: string | null
          current_item?: number
          elapsed_seconds?: number
          entity_type: Database['public']['Enums']['sync_entity_type']
          eta_seconds?: number | null
          failed_count?: number
          id?: string
          org_id: string
          processed_count?: number
          source_system?: string
          speed_items_per_min?: number | null
          started_at?: string
          status?: Database['public']['Enums']['sync_status_type']
          sync_id: string
          total_items?: number
          updated_at?: string
        }
        Update: {
          completed_at?: string | null
          current_item?: number
          elapsed_seconds?: number
          entity_type?: Database['public']['Enums']['sync_entity_type']
          eta_seconds?: number | null
          failed_count?: number
          id?: string
          org_id?: string
          processed_count?: number
          source_system?: string
          speed_items_per_min?: number | null
          started_at?: string
          status?: Database['public']['Enums']['sync_status_type']
          sync_id?: string
          total_items?: number
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'sync_progress_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_progress_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      sync_retry_policy: {
        Row: {
          base_delay: string
          factor: number
          jitter: number
          job_type: string
          max_attempts: number
          max_delay: string
          retry_classes: string[]
        }
        ComputedFields: never
        Insert: {
          base_delay?: string
          factor?: number
          jitter?: number
          job_type: string
          max_attempts?: number
          max_delay?: string
          retry_classes?: string[]
        }
        Update: {
          base_delay?: string
          factor?: number
          jitter?: number
          job_type?: string
          max_attempts?: number
          max_delay?: string
          retry_classes?: string[]
        }
        Relationships: []
      }
      sync_runs: {
        Row: {
          approved_at: string | null
          approved_by: string | null
          created_at: string
          delete_import_id: string | null
          deletion_count: number | null
          error: Json | null
          fetched: NonNullable<Json>
          finished_at: string | null
          id: string
          import_id: string | null
          is_forced: boolean
          job_id: string | null
          known_count: number | null
          org_id: string
          reason: string | null
          schedule_id: string | null
          skipped_count: number
          source_id: string
          started_at: string | null
          started_by: string | null
          status: Database['public']['Enums']['sync_run_status']
        }
        ComputedFields: never
        Insert: {
          approved_at?: string | null
          approved_by?: string | null
          created_at?: string
          delete_import_id?: string | null
          deletion_count?: number | null
          error?: Json | null
          fetched?: NonNullable<Json>
          finished_at?: string | null
          id?: string
          import_id?: string | null
          is_forced?: boolean
          job_id?: string | null
          known_count?: number | null
          org_id: string
          reason?: string | null
          schedule_id?: string | null
          skipped_count?: number
          source_id: string
          started_at?: string | null
          started_by?: string | null
          status: Database['public']['Enums']['sync_run_status']
        }
        Update: {
          approved_at?: string | null
          approved_by?: string | null
          created_at?: string
          delete_import_id?: string | null
          deletion_count?: number | null
          error?: Json | null
          fetched?: NonNullable<Json>
          finished_at?: string | null
          id?: string
          import_id?: string | null
          is_forced?: boolean
          job_id?: string | null
          known_count?: number | null
          org_id?: string
          reason?: string | null
          schedule_id?: string | null
          skipped_count?: number
          source_id?: string
          started_at?: string | null
          started_by?: string | null
          status?: Database['public']['Enums']['sync_run_status']
        }
        Relationships: [
          {
            foreignKeyName: 'sync_runs_delete_import_id_fkey'
            columns: ['delete_import_id']
            isOneToOne: false
            referencedRelation: 'import_batches'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'sync_runs_delete_import_id_fkey'
            columns: ['delete_import_id']
            isOneToOne: false
            referencedRelation: 'monitor_imports'
            referencedColumns: ['import_id']
          },
          {
            foreignKeyName: 'sync_runs_import_id_fkey'
            columns: ['import_id']
            isOneToOne: false
            referencedRelation: 'import_batches'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'sync_runs_import_id_fkey'
            columns: ['import_id']
            isOneToOne: false
            referencedRelation: 'monitor_imports'
            referencedColumns: ['import_id']
          },
          {
            foreignKeyName: 'sync_runs_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_runs_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'sync_runs_schedule_id_fkey'
            columns: ['schedule_id']
            isOneToOne: false
            referencedRelation: 'sync_schedule'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'sync_runs_source_id_fkey'
            columns: ['source_id']
            isOneToOne: false
            referencedRelation: 'monitor_sync_sources'
            referencedColumns: ['source_id']
          },
          {
            foreignKeyName: 'sync_runs_source_id_fkey'
            columns: ['source_id']
            isOneToOne: false
            referencedRelation: 'sync_sources'
            referencedColumns: ['id']
          },
        ]
      }
      sync_schedule: {
        Row: {
          created_at: string
          created_by: string | null
          cron_expression: string
          id: string
          is_enabled: boolean
          notes: string | null
          org_id: string
          source_id: string
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          created_by?: string | null
          cron_expression: string
          id?: string
          is_enabled?: boolean
          notes?: string | null
          org_id: string
          source_id: string
          updated_at?: string
        }
        Update: {
          created_at?: string
          created_by?: string | null
          cron_expression?: string
          id?: string
          is_enabled?: boolean
          notes?: string | null
          org_id?: string
          source_id?: string
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'sync_schedule_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_schedule_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'sync_schedule_source_id_fkey'
            columns: ['source_id']
            isOneToOne: false
            referencedRelation: 'monitor_sync_sources'
            referencedColumns: ['source_id']
          },
          {
            foreignKeyName: 'sync_schedule_source_id_fkey'
            columns: ['source_id']
            isOneToOne: false
            referencedRelation: 'sync_sources'
            referencedColumns: ['id']
          },
        ]
      }
      sync_sources: {
        Row: {
          created_at: string
          created_by: string | null
          dataset: string
          id: string
          import_options: NonNullable<Json>
          is_active: boolean
          kind: Database['public']['Enums']['sync_source_kind']
          location: string | null
          mapping: Json | null
          max_delete_percent: number
          mode: Database['public']['Enums']['sync_mode']
          name: string
          notes: string | null
          options: NonNullable<Json>
          org_id: string
          overlap: Database['public']['Enums']['sync_overlap']
          owner: string | null
          requires_approval: boolean
          secret_name: string | null
          state: NonNullable<Json>
          template_id: string | null
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          created_by?: string | null
          dataset: string
          id?: string
          import_options?: NonNullable<Json>
          is_active?: boolean
          kind: Database['public']['Enums']['sync_source_kind']
          location?: string | null
          mapping?: Json | null
          max_delete_percent?: number
          mode?: Database['public']['Enums']['sync_mode']
          name: string
          notes?: string | null
          options?: NonNullable<Json>
          org_id: string
          overlap?: Database['public']['Enums']['sync_overlap']
          owner?: string | null
          requires_approval?: boolean
          secret_name?: string | null
          state?: NonNullable<Json>
          template_id?: string | null
          updated_at?: string
        }
        Update: {
          created_at?: string
          created_by?: string | null
          dataset?: string
          id?: string
          import_options?: NonNullable<Json>
          is_active?: boolean
          kind?: Database['public']['Enums']['sync_source_kind']
          location?: string | null
          mapping?: Json | null
          max_delete_percent?: number
          mode?: Database['public']['Enums']['sync_mode']
          name?: string
          notes?: string | null
          options?: NonNullable<Json>
          org_id?: string
          overlap?: Database['public']['Enums']['sync_overlap']
          owner?: string | null
          requires_approval?: boolean
          secret_name?: string | null
          state?: NonNullable<Json>
          template_id?: string | null
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'sync_sources_dataset_fkey'
            columns: ['dataset']
            isOneToOne: false
            referencedRelation: 'datasets'
            referencedColumns: ['key']
          },
          {
            foreignKeyName: 'sync_sources_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_sources_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'sync_sources_template_id_fkey'
            columns: ['template_id']
            isOneToOne: false
            referencedRelation: 'import_templates'
            referencedColumns: ['id']
          },
        ]
      }
      user_invitations: {
        Row: {
          attempts: number
          created_at: string
          email: string
          error: Json | null
          next_attempt_at: string
          org_id: string
          requested_by: string | null
          sent_at: string | null
          status: Database['public']['Enums']['invitation_status']
          tried_at: string | null
          user_id: string
        }
        ComputedFields: never
        Insert: {
          attempts?: number
          created_at?: string
          email: string
          error?: Json | null
          next_attempt_at?: string
          org_id: string
          requested_by?: string | null
          sent_at?: string | null
          status?: Database['public']['Enums']['invitation_status']
          tried_at?: string | null
          user_id: string
        }
        Update: {
          attempts?: number
          created_at?: string
          email?: string
          error?: Json | null
          next_attempt_at?: string
          org_id?: string
          requested_by?: string | null
          sent_at?: string | null
          status?: Database['public']['Enums']['invitation_status']
          tried_at?: string | null
          user_id?: string
        }
        Relationships: [
          {
            foreignKeyName: 'user_invitations_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'user_invitations_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      warehouse_locations: {
        Row: {
          city: string | null
          code: string
          country: string | null
          created_at: string
          id: string
          is_active: boolean
          kind: string
          latitude: number | null
          longitude: number | null
          name: string
          org_id: string
          postal_code: string | null
          street: string | null
          updated_at: string
        }
        ComputedFields: never
        Insert: {
          city?: string | null
          code: string
          country?: string | null
          created_at?: string
          id?: string
          is_active?: boolean
          kind?: string
          latitude?: number | null
          longitude?: number | null
          name: string
          org_id: string
          postal_code?: string | null
          street?: string | null
          updated_at?: string
        }
        Update: {
          city?: string | null
          code?: string
          country?: string | null
          created_at?: string
          id?: string
          is_active?: boolean
          kind?: string
          latitude?: number | null
          longitude?: number | null
          name?: string
          org_id?: string
          postal_code?: string | null
          street?: string | null
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: 'warehouse_locations_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'warehouse_locations_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      webhook_deliveries: {
        Row: {
          attempts: number
          created_at: string
          delivered_at: string | null
          error: Json | null
          event: string
          expires_at: string
          id: string
          next_attempt_at: string
          org_id: string
          payload: NonNullable<Json>
          response_status: number | null
          status: Database['public']['Enums']['webhook_delivery_status']
          token: string | null
          webhook_id: string
        }
        ComputedFields: never
        Insert: {
          attempts?: number
          created_at?: string
          delivered_at?: string | null
          error?: Json | null
          event: string
          expires_at?: string
          id?: string
          next_attempt_at?: string
          org_id: string
          payload: NonNullable<Json>
          response_status?: number | null
          status?: Database['public']['Enums']['webhook_delivery_status']
          token?: string | null
          webhook_id: string
        }
        Update: {
          attempts?: number
          created_at?: string
          delivered_at?: string | null
          error?: Json | null
          event?: string
          expires_at?: string
          id?: string
          next_attempt_at?: string
          org_id?: string
          payload?: NonNullable<Json>
          response_status?: number | null
          status?: Database['public']['Enums']['webhook_delivery_status']
          token?: string | null
          webhook_id?: string
        }
        Relationships: [
          {
            foreignKeyName: 'webhook_deliveries_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'webhook_deliveries_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'webhook_deliveries_webhook_id_fkey'
            columns: ['webhook_id']
            isOneToOne: false
            referencedRelation: 'monitor_webhooks'
            referencedColumns: ['webhook_id']
          },
          {
            foreignKeyName: 'webhook_deliveries_webhook_id_fkey'
            columns: ['webhook_id']
            isOneToOne: false
            referencedRelation: 'webhooks'
            referencedColumns: ['id']
          },
        ]
      }
      webhooks: {
        Row: {
          created_at: string
          created_by: string | null
          description: string | null
          error: Json | null
          events: string[]
          id: string
          is_active: boolean
          org_id: string
          previous_secret_until: string | null
          updated_at: string
          url: string
        }
        ComputedFields: never
        Insert: {
          created_at?: string
          created_by?: string | null
          description?: string | null
          error?: Json | null
          events: string[]
          id?: string
          is_active?: boolean
          org_id: string
          previous_secret_until?: string | null
          updated_at?: string
          url: string
        }
        Update: {
          created_at?: string
          created_by?: string | null
          description?: string | null
          error?: Json | null
          events?: string[]
          id?: string
          is_active?: boolean
          org_id?: string
          previous_secret_until?: string | null
          updated_at?: string
          url?: string
        }
        Relationships: [
          {
            foreignKeyName: 'webhooks_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'webhooks_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
    }
    Views: {
      admin_import_sessions_monitor: {
        Row: {
          applied: number | null
          created_at: string | null
          current_step: string | null
          dataset: string
          failed: number | null
          file_name: string | null
          hours_since_last_access: number | null
          import_id: string | null
          last_accessed_at: string | null
          org_id: string | null
          organization: string
          owner_email: string | null
          percent_done: number | null
          row_count: number | null
          session_id: string | null
          shared_with: number | null
          skipped: number | null
          status: Database['public']['Enums']['session_status'] | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: 'import_batches_dataset_fkey'
            columns: ['dataset']
            isOneToOne: false
            referencedRelation: 'datasets'
            referencedColumns: ['key']
          },
        ]
      }
      monitor_cron: {
        Row: {
          failures_last_day: number | null
          is_active: boolean | null
          job: string | null
          last_message: string | null
          last_started_at: string | null
          last_status: string | null
          last_took: string | null
          schedule: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      monitor_errors: {
        Row: {
          code: string
          first_at: string | null
          hint: string | null
          job_type: string
          jobs: number | null
          last_at: string | null
          last_job_id: string | null
          message: string
          org_id: string
          organization: string
          times: number | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: 'sync_error_log_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_error_log_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      monitor_health: {
        Row: {
          detail: string | null
          hint: string | null
          status: string | null
          subject: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      monitor_imports: {
        Row: {
          age: string | null
          created_at: string
          dataset: string
          deleted: number | null
          error_code: string | null
          error_message: string | null
          eta_seconds: number | null
          failed: number | null
          file_name: string | null
          finished_at: string | null
          import_id: string
          initiated_by: string | null
          inserted: number | null
          items_per_second: number | null
          mode: Database['public']['Enums']['import_mode']
          org_id: string
          organization: string
          percent_done: number | null
          row_count: number | null
          skipped: number | null
          status: Database['public']['Enums']['import_status']
          unchanged: number | null
          updated: number | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: 'import_batches_dataset_fkey'
            columns: ['dataset']
            isOneToOne: false
            referencedRelation: 'datasets'
            referencedColumns: ['key']
          },
          {
            foreignKeyName: 'import_batches_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'import_batches_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      monitor_jobs: {
        Row: {
          actor: string | null
          created_at: string
          dead_tasks: number | null
          done_count: number
          error_code: string | null
          error_message: string | null
          failed_attempts: number | null
          failed_count: number
          import_id: string | null
          job_id: string
          job_type: string
          org_id: string
          organization: string
          phase: string | null
          ran: string | null
          run_as: Database['public']['Enums']['job_run_as']
          running_tasks: number | null
          status: Database['public']['Enums']['sync_status_type']
          total_count: number
          waited: string | null
          waiting_tasks: number | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: 'scheduled_jobs_batch_id_fkey'
            columns: ['import_id']
            isOneToOne: false
            referencedRelation: 'import_batches'
            referencedColumns: ['id']
          },
          {
            foreignKeyName: 'scheduled_jobs_batch_id_fkey'
            columns: ['import_id']
            isOneToOne: false
            referencedRelation: 'monitor_imports'
            referencedColumns: ['import_id']
          },
          {
            foreignKeyName: 'scheduled_jobs_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'scheduled_jobs_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      monitor_organizations: {
        Row: {
          admins: number | null
          failed_jobs_last_day: number | null
          imports_last_day: number | null
          is_active: boolean
          last_import_at: string | null
          most_running_jobs: number | null
          most_waiting_jobs: number | null
          org_id: string
          organization: string
          people: number | null
          rows_last_day: number | null
          running_jobs: number | null
          waiting_jobs: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      monitor_partitions: {
        Row: {
          covered_until: string | null
          default_rows: number | null
          partitions: number | null
          partitions_ahead: number | null
          status: string | null
          table_name: string | null
          total_bytes: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      monitor_queue: {
        Row: {
          dead_tasks: number | null
          delayed_tasks: number | null
          held_tasks: number | null
          job_type: string
          longest_wait: string | null
          most_attempts: number | null
          org_id: string
          organization: string
          ready_tasks: number | null
          running_tasks: number | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: 'sync_job_queue_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_job_queue_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      monitor_sync_sources: {
        Row: {
          dataset: string
          error_code: string | null
          error_message: string | null
          failures_since: number | null
          is_active: boolean
          kind: Database['public']['Enums']['sync_source_kind']
          last_good_at: string | null
          last_run_at: string | null
          last_run_id: string | null
          last_status: Database['public']['Enums']['sync_run_status'] | null
          mode: Database['public']['Enums']['sync_mode']
          org_id: string
          organization: string
          owner: string | null
          reason: string | null
          schedules: number | null
          source: string
          source_id: string
          under_way_for: string | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: 'sync_sources_dataset_fkey'
            columns: ['dataset']
            isOneToOne: false
            referencedRelation: 'datasets'
            referencedColumns: ['key']
          },
          {
            foreignKeyName: 'sync_sources_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'sync_sources_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      monitor_webhooks: {
        Row: {
          error_message: string | null
          failed: number | null
          host: string | null
          is_active: boolean
          last_delivered_at: string | null
          longest_wait: string | null
          org_id: string
          organization: string
          waiting: number | null
          webhook_id: string
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: 'webhooks_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'monitor_organizations'
            referencedColumns: ['org_id']
          },
          {
            foreignKeyName: 'webhooks_org_id_fkey'
            columns: ['org_id']
            isOneToOne: false
            referencedRelation: 'organization'
            referencedColumns: ['id']
          },
        ]
      }
      monitor_workers: {
        Row: {
          attempt: number | null
          busy_for: string | null
          claimed_at: string | null
          from_row: number | null
          job_id: string | null
          org_id: string | null
          pid: number | null
          started_at: string | null
          state: string | null
          task_id: number | null
          task_type: string | null
          to_row: number | null
          worker: string | null
        }
        ComputedFields: never
        Relationships: []
      }
    }
    Functions: {
      abandon_import_sessions: { Args: { session_ids: string[] }; Returns: Json }
      approve_sync: { Args: { run_id: string }; Returns: Json }
      auto_cleanup_preview_cache: { Args: Record<PropertyKey, never>; Returns: number }
      cancel_import: { Args: { import_id: string }; Returns: Json }
      cancel_job: { Args: { job_id: string }; Returns: Json }
      cancel_sync: { Args: { run_id: string }; Returns: Json }
      change_job: { Args: { job_id: string; priority?: number; run_at?: string }; Returns: Json }
      change_sync_schedule: {
        Args: { cron_expression?: string; is_enabled?: boolean; notes?: string; schedule_id: string }
        Returns: Json
      }
      change_sync_source: { Args: { changes: Json; source_id: string }; Returns: Json }
      change_webhook: {
        Args: {
          description?: string
          events?: string[]
          is_active?: boolean
          url?: string
          webhook_id: string
        }
        Returns: Json
      }
      commit_import: { Args: { force?: boolean; idempotency_key?: string; import_id: string }; Returns: Json }
      complete_worker_task: { Args: { result: Json; task_id: number; token: string }; Returns: boolean }
      correct_import: {
        Args: { corrections: Json; idempotency_key?: string; import_id: string }
        Returns: Json
      }
      create_import: {
        Args: {
          corrects?: string
          dataset?: string
          depends_on?: string[]
          file_name?: string
          idempotency_key?: string
          mapping?: Json
          mode?: string
          options?: Json
          org_id?: string
          set_id?: string
          source?: string
          storage_path?: string
          template_id?: string
        }
        Returns: Json
      }
      create_import_set: { Args: { idempotency_key?: string; name?: string; org_id?: string }; Returns: Json }
      create_organization: { Args: { name: string; slug: string }; Returns: Json }
      create_sync_schedule: {
        Args: { cron_expression: string; is_enabled?: boolean; notes?: string; source_id: string }
        Returns: Json
      }
      create_sync_source: { Args: { org_id?: string; source: Json }; Returns: Json }
      create_users: {
        Args: { idempotency_key?: string; mode?: string; org_id?: string; users: Json }
        Returns: Json
      }
      create_webhook: {
        Args: { description?: string; events: string[]; org_id?: string; url: string }
        Returns: Json
      }
      delete_import_template: { Args: { template_id: string }; Returns: Json }
      delete_sync_schedule: { Args: { schedule_id: string }; Returns: undefined }
      delete_sync_secret: { Args: { name: string; org_id?: string }; Returns: undefined }
      delete_sync_source: { Args: { source_id: string }; Returns: undefined }
      delete_users: {
        Args: {
          dry_run?: boolean
          emails?: string[]
          idempotency_key?: string
          ids?: string[]
          import_id?: string
          org_id?: string
        }
        Returns: Json
      }
      delete_webhook: { Args: { webhook_id: string }; Returns: undefined }
      fail_worker_task: {
        Args: { error: Json; retry_after_seconds?: number; task_id: number; token: string }
        Returns: undefined
      }
      find_similar_imports: { Args: { import_id: string }; Returns: Json }
      get_import: { Args: { import_id: string }; Returns: Json }
      get_import_preview: { Args: { import_id: string }; Returns: Json }
      get_import_set: { Args: { set_id: string }; Returns: Json }
      get_import_template: { Args: { template_id: string }; Returns: Json }
      get_job: { Args: { job_id: string }; Returns: Json }
      get_sync_run: { Args: { run_id: string }; Returns: Json }
      get_sync_source: { Args: { source_id: string }; Returns: Json }
      get_worker_task: { Args: { task_id: number; token: string }; Returns: Json }
      ingest_import: {
        Args: { commit?: boolean; force?: boolean; format?: Json; import_id: string }
        Returns: Json
      }
      list_expired_files: { Args: Record<PropertyKey, never>; Returns: string[] }
      list_import_issues: {
        Args: { after_id?: number; code?: string; import_id: string; page_size?: number; severity?: string }
        Returns: Database['public']['CompositeTypes']['import_issue'][]
        SetofOptions: {
          from: '*'
          to: 'import_issue'
          isOneToOne: false
          isSetofReturn: true
        }
      }
      list_import_rows: {
        Args: { after_row?: number; import_id: string; page_size?: number; status?: string }
        Returns: Database['public']['CompositeTypes']['import_row'][]
        SetofOptions: {
          from: '*'
          to: 'import_row'
          isOneToOne: false
          isSetofReturn: true
        }
      }
      list_import_sessions: { Args: { before?: string; page_size?: number; status?: string }; Returns: Json }
      list_import_templates: { Args: { dataset?: string }; Returns: Json }
      list_imports: {
        Args: { before?: string; dataset?: string; page_size?: number; status?: string }
        Returns: Json
      }
      list_jobs: {
        Args: {
          before?: string
          import_id?: string
          job_type?: string
          mine?: boolean
          org_id?: string
          page_size?: number
          since?: string
          status?: string
        }
        Returns: Json
      }
      list_settings: {
        Args: { org_id?: string }
        Returns: {
          default_value: Json
          description: string
          key: string
          maximum: number
          minimum: number
          set_by: string
          value: Json
        }[]
      }
      list_sync_runs: {
        Args: { before?: string; page_size?: number; source_id?: string; status?: string }
        Returns: Json
      }
      list_sync_schedules: { Args: { source_id?: string }; Returns: Json }
      list_sync_secrets: {
        Args: { org_id?: string }
        Returns: {
          name: string
          updated_at: string
        }[]
      }
      list_sync_sources: { Args: { org_id?: string }; Returns: Json }
      list_user_results: {
        Args: { after_row?: number; import_id: string; page_size?: number }
        Returns: Database['public']['CompositeTypes']['user_result'][]
        SetofOptions: {
          from: '*'
          to: 'user_result'
          isOneToOne: false
          isSetofReturn: true
        }
      }
      list_users: {
        Args: { after?: string; org_id?: string; page_size?: number; search?: string }
        Returns: Json
      }
      list_webhook_deliveries: {
        Args: { after?: string; event?: string; page_size?: number; status?: string; webhook_id?: string }
        Returns: Json
      }
      next_invitation: { Args: { outcome?: Json; token: string }; Returns: Json }
      open_import_session: { Args: { session_id: string }; Returns: Json }
      pause_import: { Args: { import_id: string }; Returns: Json }
      pause_job: { Args: { job_id: string }; Returns: Json }
      prepare_import_upload: {
        Args: { corrects?: string; dataset?: string; file_name?: string; mode?: string; org_id?: string }
        Returns: Json
      }
      preview_import: { Args: { full?: boolean; idempotency_key?: string; import_id: string }; Returns: Json }
      redrive_webhook_deliveries: { Args: { delivery_ids?: string[]; webhook_id: string }; Returns: number }
      remove_job: { Args: { job_id: string }; Returns: undefined }
      report_webhook_delivery: {
        Args: {
          delivery_id: string
          error?: Json
          response_status?: number
          retry_after_seconds?: number
          token: string
        }
        Returns: undefined
      }
      resume_import: { Args: { import_id: string }; Returns: Json }
      resume_job: { Args: { job_id: string }; Returns: Json }
      retry_import: { Args: { import_id: string }; Returns: Json }
      retry_invitations: { Args: { org_id?: string; user_ids?: string[] }; Returns: number }
      retry_job: { Args: { job_id: string }; Returns: Json }
      rotate_webhook_secret: { Args: { webhook_id: string }; Returns: Json }
      run_import_set: { Args: { commit?: boolean; force?: boolean; set_id: string }; Returns: Json }
      run_sync: { Args: { force?: boolean; source_id: string }; Returns: Json }
      save_import_session: { Args: { session_id: string; state: Json }; Returns: Json }
      save_import_template: {
        Args: { description?: string; import_id: string; is_global?: boolean; name: string }
        Returns: Json
      }
      send_test_webhook: { Args: { webhook_id: string }; Returns: Json }
      set_import_mapping: {
        Args: {
          depends_on?: string[]
          import_id: string
          mapping?: Json
          options?: Json
          template_id?: string
        }
        Returns: Json
      }
      set_setting: { Args: { key: string; org_id?: string; value: Json }; Returns: undefined }
      set_sync_secret: { Args: { name: string; org_id?: string; value: string }; Returns: undefined }
      share_import_session: { Args: { session_id: string; user_id: string }; Returns: Json }
      suggest_import_mapping: { Args: { import_id: string }; Returns: Json }
      take_webhook_deliveries: { Args: { token: string }; Returns: Json }
      transfer_import_session: { Args: { session_id: string; user_id: string }; Returns: Json }
      undo_import: { Args: { dry_run?: boolean; idempotency_key?: string; import_id: string }; Returns: Json }
      unshare_import_session: { Args: { session_id: string; user_id: string }; Returns: Json }
      validate_import: {
        Args: { commit?: boolean; force?: boolean; idempotency_key?: string; import_id: string }
        Returns: Json
      }
    }
    Enums: {
      import_mode: 'insert' | 'update' | 'upsert' | 'delete'
      import_status:
        | 'receiving'
        | 'staged'
        | 'validating'
        | 'validated'
        | 'committing'
        | 'completed'
        | 'failed'
        | 'cancelled'
        | 'undoing'
        | 'undone'
      invitation_status: 'pending' | 'sending' | 'sent' | 'failed'
      job_run_as: 'user' | 'service'
      org_role: 'viewer' | 'member' | 'admin'
      session_status: 'in_progress' | 'completed' | 'abandoned' | 'expired'
      sync_action:
        | 'created'
        | 'updated'
        | 'deleted'
        | 'skipped'
        | 'failed'
        | 'started'
        | 'validated'
        | 'completed'
        | 'cancelled'
        | 'paused'
        | 'resumed'
        | 'undone'
        | 'transferred'
      sync_entity_type:
        | 'customer'
        | 'contact'
        | 'product'
        | 'inventory'
        | 'order'
        | 'invoice'
        | 'payment'
        | 'warehouse_location'
        | 'delivery_route'
        | 'user'
        | 'other'
      sync_mode: 'upsert' | 'mirror'
      sync_overlap: 'skip' | 'wait'
      sync_run_status:
        | 'waiting'
        | 'fetching'
        | 'validating'
        | 'awaiting_approval'
        | 'committing'
        | 'deleting'
        | 'completed'
        | 'unchanged'
        | 'failed'
        | 'cancelled'
      sync_source_kind: 'manual' | 'http_csv' | 'http_json' | 'storage' | 'foreign_table'
      sync_status_type: 'pending' | 'queued' | 'running' | 'paused' | 'completed' | 'failed' | 'cancelled'
      sync_type: 'import' | 'users' | 'pull' | 'undo' | 'delete'
      task_status: 'pending' | 'running' | 'held' | 'failed'
      webhook_delivery_status: 'pending' | 'sending' | 'delivered' | 'failed'
    }
    CompositeTypes: {
      import_issue: {
        id: number | null
        row_number: number | null
        line_number: number | null
        field: string | null
        severity: string | null
        code: string | null
        message: string | null
        value: string | null
        sqlstate: string | null
        constraint_name: string | null
      }
      import_row: {
        row_number: number | null
        line_number: number | null
        status: string | null
        key: string | null
        record_id: string | null
        payload: Json | null
        issues: Json | null
      }
      user_result: {
        row_number: number | null
        email: string | null
        status: string | null
        user_id: string | null
        issues: Json | null
      }
    }
  }
}

type DatabaseWithoutInternals = Omit<Database, '__InternalSupabase'>

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, 'public'>]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema['Tables'] & DefaultSchema['Views'])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Views'])
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Views'])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema['Tables'] & DefaultSchema['Views'])
    ? (DefaultSchema['Tables'] & DefaultSchema['Views'])[DefaultSchemaTableNameOrOptions] extends {
        Row: infer R
      }
      ? R
      : never
    : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema['Tables']
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables']
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema['Tables']
    ? DefaultSchema['Tables'][DefaultSchemaTableNameOrOptions] extends {
        Insert: infer I
      }
      ? I
      : never
    : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema['Tables']
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables']
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema['Tables']
    ? DefaultSchema['Tables'][DefaultSchemaTableNameOrOptions] extends {
        Update: infer U
      }
      ? U
      : never
    : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema['Enums']
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions['schema']]['Enums']
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions['schema']]['Enums'][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema['Enums']
    ? DefaultSchema['Enums'][DefaultSchemaEnumNameOrOptions]
    : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema['CompositeTypes']
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions['schema']]['CompositeTypes']
    : never = never,
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions['schema']]['CompositeTypes'][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema['CompositeTypes']
    ? DefaultSchema['CompositeTypes'][PublicCompositeTypeNameOrOptions]
    : never

export const Constants = {
  public: {
    Enums: {
      import_mode: ['insert', 'update', 'upsert', 'delete'],
      import_status: [
        'receiving',
        'staged',
        'validating',
        'validated',
        'committing',
        'completed',
        'failed',
        'cancelled',
        'undoing',
        'undone',
      ],
      invitation_status: ['pending', 'sending', 'sent', 'failed'],
      job_run_as: ['user', 'service'],
      org_role: ['viewer', 'member', 'admin'],
      session_status: ['in_progress', 'completed', 'abandoned', 'expired'],
      sync_action: [
        'created',
        'updated',
        'deleted',
        'skipped',
        'failed',
        'started',
        'validated',
        'completed',
        'cancelled',
        'paused',
        'resumed',
        'undone',
        'transferred',
      ],
      sync_entity_type: [
        'customer',
        'contact',
        'product',
        'inventory',
        'order',
        'invoice',
        'payment',
        'warehouse_location',
        'delivery_route',
        'user',
        'other',
      ],
      sync_mode: ['upsert', 'mirror'],
      sync_overlap: ['skip', 'wait'],
      sync_run_status: [
        'waiting',
        'fetching',
        'validating',
        'awaiting_approval',
        'committing',
        'deleting',
        'completed',
        'unchanged',
        'failed',
        'cancelled',
      ],
      sync_source_kind: ['manual', 'http_csv', 'http_json', 'storage', 'foreign_table'],
      sync_status_type: ['pending', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled'],
      sync_type: ['import', 'users', 'pull', 'undo', 'delete'],
      task_status: ['pending', 'running', 'held', 'failed'],
      webhook_delivery_status: ['pending', 'sending', 'delivered', 'failed'],
    },
  },
} as const
