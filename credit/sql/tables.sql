-- The tables of this app as its migrations up to 0014_owed_collected_event make them. A new organization's schema is made of them.
-- Written by `python -m tests.support.write_tables`; a change begins with a migration.

CREATE OR REPLACE FUNCTION entry_is_sound(p_kind text, p_amount bigint, p_commission bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$
    BEGIN
        RETURN CASE
            WHEN p_kind IN ('recharge', 'late_charge') THEN p_amount < 0 AND p_commission BETWEEN 0 AND -p_amount
            WHEN p_kind IN ('refund', 'reversal') THEN p_amount > 0 AND p_commission BETWEEN -p_amount AND 0
            WHEN p_kind IN ('credit', 'transfer_in', 'margin') THEN p_amount > 0 AND p_commission = 0
            WHEN p_kind IN ('transfer_out', 'margin_back') THEN p_amount < 0 AND p_commission = 0
            WHEN p_kind = 'adjustment' THEN p_amount <> 0 AND p_commission = 0
            ELSE false
        END IS TRUE;
    END;
    $function$;

CREATE TABLE credit_accessepoch (
    subject character varying(60) COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    CONSTRAINT credit_accessepoch_pkey PRIMARY KEY (subject)
);

CREATE INDEX credit_accessepoch_subject_94de404d_like ON credit_accessepoch USING btree (subject varchar_pattern_ops);

CREATE TABLE credit_account (
    seller_id bigint NOT NULL,
    balance bigint NOT NULL,
    last_number bigint NOT NULL,
    last_moment timestamp with time zone,
    ran_back boolean DEFAULT false NOT NULL,
    last_hash bytea,
    alert_below bigint,
    CONSTRAINT credit_account_pkey PRIMARY KEY (seller_id),
    CONSTRAINT account_balance_bounded CHECK ((balance <= '9007199254740991'::bigint)),
    CONSTRAINT account_balance_not_negative CHECK ((balance >= 0)),
    CONSTRAINT account_last_number_not_negative CHECK ((last_number >= 0))
);

CREATE TABLE credit_adjustment (
    id uuid NOT NULL,
    idempotency_key character varying(255) COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    reason character varying(500) NOT NULL,
    reference character varying(100) NOT NULL,
    status character varying(8) COLLATE "C" NOT NULL,
    created_at timestamp with time zone NOT NULL,
    asked_by character varying(150) NOT NULL,
    asked_by_id bigint NOT NULL,
    decided_at timestamp with time zone,
    decided_by character varying(150) NOT NULL,
    decided_by_id bigint,
    decision_reason character varying(500) NOT NULL,
    seller_id bigint NOT NULL,
    CONSTRAINT credit_adjustment_pkey PRIMARY KEY (id),
    CONSTRAINT adjustment_key UNIQUE (idempotency_key, asked_by_id),
    CONSTRAINT adjustment_amount CHECK (((amount >= '-1000000000000'::bigint) AND (amount <= '1000000000000'::bigint) AND (NOT (amount = 0)))),
    CONSTRAINT adjustment_decided CHECK ((((decided_at IS NULL) AND ((status)::text = 'pending'::text)) OR ((decided_at >= created_at) AND ((status)::text = ANY (ARRAY[('approved'::character varying)::text, ('rejected'::character varying)::text])))))
);

CREATE INDEX adjustment_seller ON credit_adjustment USING btree (seller_id, id);
CREATE INDEX adjustment_status ON credit_adjustment USING btree (status, id);

CREATE TABLE credit_alert (
    id uuid NOT NULL,
    kind character varying(20) COLLATE "C" NOT NULL,
    subject character varying(40) COLLATE "C" NOT NULL,
    data jsonb NOT NULL,
    raised_at timestamp with time zone NOT NULL,
    cleared_at timestamp with time zone,
    read_at timestamp with time zone,
    read_by character varying(150) DEFAULT ''::character varying NOT NULL,
    seller_id bigint,
    CONSTRAINT credit_alert_pkey PRIMARY KEY (id)
);

CREATE UNIQUE INDEX alert_open ON credit_alert USING btree (kind, subject) WHERE (cleared_at IS NULL);
CREATE INDEX alert_seller ON credit_alert USING btree (seller_id, id);

CREATE TABLE credit_alertmessage (
    id uuid NOT NULL,
    channel character varying(4) COLLATE "C" NOT NULL,
    recipient character varying(254) NOT NULL,
    status character varying(7) COLLATE "C" NOT NULL,
    attempts integer NOT NULL,
    due_at timestamp with time zone,
    give_up_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    error character varying(300) NOT NULL,
    alert_id uuid,
    seller_id bigint,
    text character varying(500) DEFAULT ''::character varying NOT NULL,
    CONSTRAINT credit_alertmessage_pkey PRIMARY KEY (id),
    CONSTRAINT alert_message_status CHECK ((((due_at IS NOT NULL) AND ((status)::text = 'pending'::text)) OR ((due_at IS NULL) AND ((status)::text = ANY (ARRAY[('sent'::character varying)::text, ('failed'::character varying)::text])))))
);

CREATE INDEX alert_message_alert ON credit_alertmessage USING btree (alert_id) WHERE (alert_id IS NOT NULL);
CREATE INDEX alert_message_due ON credit_alertmessage USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE TABLE credit_alertpreference (
    seller_id bigint NOT NULL,
    by_mail boolean NOT NULL,
    phone_number character varying(16) NOT NULL,
    CONSTRAINT credit_alertpreference_pkey PRIMARY KEY (seller_id)
);

CREATE TABLE credit_alertsettings (
    id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    mail_to character varying(254)[] NOT NULL,
    sms_to character varying(16)[] NOT NULL,
    language character varying(2) NOT NULL,
    unknown_after integer NOT NULL,
    requests_after integer NOT NULL,
    failing_percent integer NOT NULL,
    failing_least integer NOT NULL,
    failing_window integer NOT NULL,
    sms_url character varying(2000) NOT NULL,
    sms_method character varying(4) NOT NULL,
    sms_body character varying(2000) NOT NULL,
    sms_content_type character varying(40) NOT NULL,
    sms_header character varying(60) NOT NULL,
    sms_secret text NOT NULL,
    CONSTRAINT credit_alertsettings_pkey PRIMARY KEY (id),
    CONSTRAINT alert_settings_one_row CHECK ((id = 1))
);

CREATE TABLE credit_auditrecord (
    id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    at timestamp with time zone NOT NULL,
    actor character varying(150) COLLATE "C" NOT NULL,
    user_id bigint,
    key_id uuid,
    address character varying(45) NOT NULL,
    action character varying(60) COLLATE "C" NOT NULL,
    object character varying(200) COLLATE "C" NOT NULL,
    before jsonb,
    after jsonb,
    request_id character varying(128) NOT NULL,
    CONSTRAINT credit_auditrecord_pkey PRIMARY KEY (id)
);

CREATE INDEX audit_action ON credit_auditrecord USING btree (action, id);
CREATE INDEX audit_actor ON credit_auditrecord USING btree (actor, id);
CREATE INDEX audit_at ON credit_auditrecord USING btree (at, id);

CREATE TABLE credit_chainroot (
    day date NOT NULL,
    root bytea NOT NULL,
    accounts bigint NOT NULL,
    entries bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    numbers bigint[] NOT NULL,
    sellers bigint[] NOT NULL,
    CONSTRAINT credit_chainroot_pkey PRIMARY KEY (day)
);

CREATE TABLE credit_creditrequest (
    id uuid NOT NULL,
    idempotency_key character varying(255) COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    note character varying(500) NOT NULL,
    status character varying(8) COLLATE "C" NOT NULL,
    reason character varying(500) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    decided_by character varying(150) NOT NULL,
    decided_by_id bigint,
    seller_id bigint NOT NULL,
    bank_reference character varying(100) COLLATE "C" DEFAULT ''::character varying NOT NULL,
    first_approved_at timestamp with time zone,
    first_approved_by character varying(150) DEFAULT ''::character varying NOT NULL,
    first_approved_by_id bigint,
    parent_id bigint,
    CONSTRAINT credit_creditrequest_pkey PRIMARY KEY (id),
    CONSTRAINT credit_request_key UNIQUE (idempotency_key, seller_id),
    CONSTRAINT credit_request_amount CHECK (((amount >= 1) AND (amount <= '1000000000000'::bigint))),
    CONSTRAINT credit_request_decided CHECK ((((decided_at IS NULL) AND ((status)::text = 'pending'::text)) OR ((decided_at >= created_at) AND ((status)::text = ANY (ARRAY[('approved'::character varying)::text, ('rejected'::character varying)::text])))))
);

CREATE UNIQUE INDEX credit_request_bank_reference ON credit_creditrequest USING btree (bank_reference) WHERE ((NOT ((bank_reference)::text = ''::text)) AND (NOT ((status)::text = 'rejected'::text)));
CREATE INDEX credit_request_parent ON credit_creditrequest USING btree (parent_id, status, id) WHERE (parent_id IS NOT NULL);
CREATE INDEX credit_request_seller ON credit_creditrequest USING btree (seller_id, id);
CREATE INDEX credit_request_status ON credit_creditrequest USING btree (status, id);

CREATE TABLE credit_creditrequestslip (
    request_id uuid NOT NULL,
    content bytea NOT NULL,
    content_type character varying(10) NOT NULL,
    sha256 bytea NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    put_at timestamp with time zone NOT NULL,
    put_by character varying(150) NOT NULL,
    CONSTRAINT credit_creditrequestslip_pkey PRIMARY KEY (request_id)
);

CREATE TABLE credit_entry (
    id uuid NOT NULL,
    number bigint NOT NULL,
    kind character varying(12) COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    reference uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    seller_id bigint NOT NULL,
    hash bytea,
    commission bigint DEFAULT 0 NOT NULL,
    CONSTRAINT credit_entry_pkey PRIMARY KEY (id),
    CONSTRAINT entry_number UNIQUE (seller_id, number),
    CONSTRAINT entry_reference UNIQUE (kind, reference),
    CONSTRAINT entry_balance_not_negative CHECK ((balance_after >= 0)),
    CONSTRAINT entry_number_positive CHECK ((number >= 1)),
    CONSTRAINT entry_sign CHECK (entry_is_sound((kind)::text, amount, commission))
);

CREATE INDEX entry_kind ON credit_entry USING btree (kind, id) WHERE (NOT ((kind)::text = 'recharge'::text));
CREATE INDEX entry_seller ON credit_entry USING btree (seller_id, id);
CREATE INDEX entry_seller_kind ON credit_entry USING btree (seller_id, kind, number) WHERE (NOT ((kind)::text = 'recharge'::text));

CREATE TABLE credit_policy (
    id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    four_eyes_from bigint,
    requests_go_to_parent boolean DEFAULT false NOT NULL,
    time_zone character varying(60) DEFAULT 'Asia/Tehran'::character varying NOT NULL,
    CONSTRAINT credit_policy_pkey PRIMARY KEY (id),
    CONSTRAINT policy_four_eyes_from CHECK (((four_eyes_from IS NULL) OR ((four_eyes_from >= 1) AND (four_eyes_from <= '1000000000000'::bigint)))),
    CONSTRAINT policy_one_row CHECK ((id = 1))
);

CREATE TABLE credit_seller (
    id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    name character varying(200) NOT NULL,
    is_active boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    ancestors bigint[],
    parent_id bigint,
    switched_off_by bigint,
    shop_name character varying(60) DEFAULT ''::character varying NOT NULL,
    CONSTRAINT credit_seller_pkey PRIMARY KEY (id),
    CONSTRAINT seller_ancestors CHECK ((((ancestors IS NULL) AND (parent_id IS NULL)) OR ((
CASE
    WHEN (ancestors IS NULL) THEN NULL::integer
    ELSE COALESCE(array_length(ancestors, 1), 0)
END < 5) AND (parent_id = ancestors[1]))))
);

CREATE INDEX credit_seller_parent_id_edd3c455 ON credit_seller USING btree (parent_id);
CREATE INDEX seller_ancestors ON credit_seller USING gin (ancestors);

CREATE TABLE credit_transfer (
    id uuid NOT NULL,
    idempotency_key character varying(255) COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    note character varying(500) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    made_by character varying(150) NOT NULL,
    user_id bigint,
    key_id uuid,
    credit_request_id uuid,
    giver_id bigint NOT NULL,
    receiver_id bigint NOT NULL,
    CONSTRAINT credit_transfer_pkey PRIMARY KEY (id),
    CONSTRAINT credit_transfer_credit_request_id_key UNIQUE (credit_request_id),
    CONSTRAINT transfer_key UNIQUE (idempotency_key, giver_id),
    CONSTRAINT transfer_amount CHECK (((amount >= 1) AND (amount <= '1000000000000'::bigint))),
    CONSTRAINT transfer_between_two CHECK ((NOT (giver_id = receiver_id)))
);

CREATE INDEX transfer_giver ON credit_transfer USING btree (giver_id, id);
CREATE INDEX transfer_receiver ON credit_transfer USING btree (receiver_id, id);

CREATE TABLE credit_webhookattempt (
    id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    attempted_at timestamp with time zone NOT NULL,
    latency_ms integer NOT NULL,
    status_code integer,
    error character varying(300) NOT NULL,
    answer character varying(500) NOT NULL,
    message_id uuid NOT NULL,
    CONSTRAINT credit_webhookattempt_pkey PRIMARY KEY (id)
);

CREATE INDEX credit_webhookattempt_message_id_d2d867ba ON credit_webhookattempt USING btree (message_id);

CREATE TABLE credit_webhookendpoint (
    id uuid NOT NULL,
    url character varying(2000) NOT NULL,
    events character varying(30)[] NOT NULL,
    secret text NOT NULL,
    previous_secret text NOT NULL,
    previous_secret_until timestamp with time zone,
    disabled character varying(7) NOT NULL,
    failing_since timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    seller_id bigint,
    creation_key character varying(255) DEFAULT ''::character varying NOT NULL,
    rotation_key character varying(255) DEFAULT ''::character varying NOT NULL,
    CONSTRAINT credit_webhookendpoint_pkey PRIMARY KEY (id)
);

CREATE INDEX webhook_endpoint_seller ON credit_webhookendpoint USING btree (seller_id, id);

CREATE TABLE credit_webhookmessage (
    id uuid NOT NULL,
    event character varying(30) NOT NULL,
    data jsonb NOT NULL,
    status character varying(9) NOT NULL,
    attempts integer NOT NULL,
    due_at timestamp with time zone,
    give_up_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    delivered_at timestamp with time zone,
    endpoint_id uuid NOT NULL,
    CONSTRAINT credit_webhookmessage_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_message_status CHECK ((((due_at IS NOT NULL) AND ((status)::text = 'pending'::text)) OR ((delivered_at IS NOT NULL) AND (due_at IS NULL) AND ((status)::text = 'delivered'::text)) OR ((due_at IS NULL) AND ((status)::text = 'failed'::text))))
);

CREATE INDEX webhook_message_due ON credit_webhookmessage USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX webhook_message_endpoint ON credit_webhookmessage USING btree (endpoint_id, id);
CREATE INDEX webhook_message_lane ON credit_webhookmessage USING btree (endpoint_id, due_at) WHERE (due_at IS NOT NULL);

ALTER TABLE credit_account ADD CONSTRAINT credit_account_seller_id_94fce54b_fk_credit_seller_id FOREIGN KEY (seller_id) REFERENCES credit_seller(id);
ALTER TABLE credit_adjustment ADD CONSTRAINT credit_adjustment_seller_id_9f337a2d_fk_credit_seller_id FOREIGN KEY (seller_id) REFERENCES credit_seller(id);
ALTER TABLE credit_alert ADD CONSTRAINT credit_alert_seller_id_75d96589_fk_credit_seller_id FOREIGN KEY (seller_id) REFERENCES credit_seller(id);
ALTER TABLE credit_alertmessage ADD CONSTRAINT credit_alertmessage_alert_id_38f276c1_fk_credit_alert_id FOREIGN KEY (alert_id) REFERENCES credit_alert(id);
ALTER TABLE credit_alertmessage ADD CONSTRAINT credit_alertmessage_seller_id_da777c43_fk_credit_seller_id FOREIGN KEY (seller_id) REFERENCES credit_seller(id);
ALTER TABLE credit_alertpreference ADD CONSTRAINT credit_alertpreference_seller_id_f6c99a5f_fk_credit_seller_id FOREIGN KEY (seller_id) REFERENCES credit_seller(id);
ALTER TABLE credit_creditrequest ADD CONSTRAINT credit_creditrequest_parent_id_1feda38f_fk_credit_seller_id FOREIGN KEY (parent_id) REFERENCES credit_seller(id);
ALTER TABLE credit_creditrequest ADD CONSTRAINT credit_creditrequest_seller_id_b67e076a_fk_credit_seller_id FOREIGN KEY (seller_id) REFERENCES credit_seller(id);
ALTER TABLE credit_creditrequestslip ADD CONSTRAINT credit_creditrequest_request_id_2e786022_fk_credit_cr FOREIGN KEY (request_id) REFERENCES credit_creditrequest(id);
ALTER TABLE credit_entry ADD CONSTRAINT credit_entry_seller_id_51a23a19_fk_credit_account_seller_id FOREIGN KEY (seller_id) REFERENCES credit_account(seller_id);
ALTER TABLE credit_seller ADD CONSTRAINT credit_seller_parent_id_edd3c455_fk_credit_seller_id FOREIGN KEY (parent_id) REFERENCES credit_seller(id);
ALTER TABLE credit_transfer ADD CONSTRAINT credit_transfer_credit_request_id_84cd2e3f_fk_credit_cr FOREIGN KEY (credit_request_id) REFERENCES credit_creditrequest(id);
ALTER TABLE credit_transfer ADD CONSTRAINT credit_transfer_giver_id_b2991afb_fk_credit_seller_id FOREIGN KEY (giver_id) REFERENCES credit_seller(id);
ALTER TABLE credit_transfer ADD CONSTRAINT credit_transfer_receiver_id_cc3a9f92_fk_credit_seller_id FOREIGN KEY (receiver_id) REFERENCES credit_seller(id);
ALTER TABLE credit_webhookattempt ADD CONSTRAINT credit_webhookattemp_message_id_d2d867ba_fk_credit_we FOREIGN KEY (message_id) REFERENCES credit_webhookmessage(id);
ALTER TABLE credit_webhookendpoint ADD CONSTRAINT credit_webhookendpoint_seller_id_a5607620_fk_credit_seller_id FOREIGN KEY (seller_id) REFERENCES credit_seller(id);
ALTER TABLE credit_webhookmessage ADD CONSTRAINT credit_webhookmessag_endpoint_id_cf78a54d_fk_credit_we FOREIGN KEY (endpoint_id) REFERENCES credit_webhookendpoint(id);
